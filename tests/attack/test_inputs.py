"""What an attack names is found, or refused in words."""

import pytest
from PIL import Image

from clipneuron.attack.inputs import blocked_of, captioner_of, pairs_of, witness_of
from clipneuron.attack.witness import OtherClip
from clipneuron.config.attack import Attack
from clipneuron.demo.grammar import GrammarCaptioner
from clipneuron.demo.painter import ScenePainter, SceneTruth
from clipneuron.demo.things import CLASSES
from clipneuron.models.clip.checkpoints import named_in
from clipneuron.models.language.http import HttpCaptioner
from clipneuron.models.language.transformers import TransformersCaptioner
from clipneuron.models.painting.painter import Order
from clipneuron.reports.drawing import png
from clipneuron.sweep.painters import painter_of


def test_all_gives_every_class_one_other_class():
    pairs = pairs_of(Attack(pairs=("all",)), seed=0)
    assert [c1 for c1, _ in pairs] == list(CLASSES)
    assert sorted(c2 for _, c2 in pairs) == sorted(CLASSES)
    assert all(c1 != c2 for c1, c2 in pairs)
    assert pairs_of(Attack(pairs=("all",)), seed=1) != pairs


def test_pairs_by_name_by_file_and_one_by_one_come_once_each(tmp_path):
    file = tmp_path / "pairs.txt"
    file.write_text("stop sign:yield\ndog:deer\n")
    found = pairs_of(Attack(pairs=("cifar10", str(file), "cat : ship")), seed=0)
    assert found == (
        ("horse", "automobile"),
        ("dog", "deer"),
        ("bird", "frog"),
        ("ship", "truck"),
        ("ship", "automobile"),
        ("stop sign", "yield"),
        ("cat", "ship"),
    )


def test_makers_are_found_by_their_names(tmp_path):
    assert isinstance(captioner_of(Attack(captioner="demo")), GrammarCaptioner)
    assert isinstance(captioner_of(Attack(captioner="http://host/v1#llama")), HttpCaptioner)
    assert isinstance(captioner_of(Attack()), TransformersCaptioner)
    assert isinstance(painter_of("demo", 10, False, "attack.painter"), ScenePainter)
    assert "DeepFloyd" in painter_of("deepfloyd", 10, False, "attack.painter").name
    assert "FLUX" in painter_of("flux", 10, False, "attack.painter").name
    (tmp_path / "words.txt").write_text("deer\nelk\n")
    assert blocked_of(Attack(blocked=str(tmp_path / "words.txt"))) == {"deer", "elk"}
    (tmp_path / "words.txt").write_text("deer\n---\n")
    with pytest.raises(ValueError, match="'---', which is the name of nothing"):
        blocked_of(Attack(blocked=str(tmp_path / "words.txt")))


@pytest.mark.parametrize("spec", ["hf-hub:laion/CLIP-ViT-B-32", "local-dir:/a/b", "ViT-B-32"])
def test_an_address_of_a_model_has_no_weights_of_its_own(spec):
    assert named_in(spec) == (spec, None)
    assert named_in("ViT-L-14:laion2b_s32b_b82k") == ("ViT-L-14", "laion2b_s32b_b82k")


def test_nobody_to_attack_is_an_error():
    with pytest.raises(ValueError, match="there is no pair to attack"):
        pairs_of(Attack(pairs=()), seed=0)


@pytest.mark.slow
def test_a_witness_is_another_clip_the_scenes_themselves_or_nobody():
    assert witness_of(Attack(), CLASSES) is None
    assert witness_of(Attack(painter="demo"), CLASSES) is SceneTruth
    other = witness_of(Attack(witness="demo"), CLASSES)()
    assert isinstance(other, OtherClip)
    images = [painted("a ship on the sea"), painted("a cat")]
    orders = [Order("a ship on the sea"), Order("a cat")]
    assert other.shows(("ship", "frog"), orders[:1], images[:1]) == [[True, False]]
    assert other.shows(("ship", "cat"), orders[1:], images[1:]) == [[False, True]]


def painted(caption: str) -> bytes:
    (found,) = ScenePainter().paint([Order(caption)])
    return png(Image.fromarray(found.pixels))
