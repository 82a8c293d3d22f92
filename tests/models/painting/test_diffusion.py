"""Real pipelines, tiny, are loaded, fed and judged as the large ones are."""

import pickle
import shutil

import numpy as np
import pytest
import torch

from clipneuron.models.painting.diffusion import DEEPFLOYD, FLUX, DiffusersPainter
from clipneuron.models.painting.painter import Order, Painter
from clipneuron.models.painting.pipelines import PipelineSource
from tests.samples.painters import flag_everything, save_tiny_deepfloyd, save_tiny_stable_diffusion

pytestmark = pytest.mark.slow

FEW = {"num_inference_steps": 2}
ORDERS = [Order(caption, seed) for caption in ("a cat on grass", "two dogs") for seed in (0, 1)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("pipelines")
    save_tiny_deepfloyd(root / "one", root / "two")
    save_tiny_stable_diffusion(root / "sd")
    return root


def source(folder, **settings):
    return PipelineSource(model=folder, settings=FEW | settings)


def deepfloyd(folders, **options):
    return DiffusersPainter(
        source(folders / "one"), source(folders / "two"), device="cpu", **options
    )


def stable_diffusion(folders, **options):
    return DiffusersPainter(source(folders / "sd"), device="cpu", **options)


@pytest.fixture(scope="module", params=[deepfloyd, stable_diffusion])
def make(request, folders):
    """Makes painters of one kind."""
    return lambda **options: request.param(folders, **options)


@pytest.fixture(scope="module")
def usual(make):
    """What such a painter makes of the orders."""
    return make().paint(ORDERS)


def pixels(painted):
    assert all(each.reason == "" for each in painted)
    return np.stack([each.pixels for each in painted]).astype(int)


def apart(one, other):
    """The largest difference in levels, of 255."""
    return np.abs(one - other).max()


def test_every_order_gets_a_picture_of_its_own(make, usual):
    painter = make()
    assert isinstance(painter, Painter)
    found = pixels(usual)
    assert found.shape == (4, 32, 32, 3)
    assert min(apart(found[i], found[j]) for i in range(4) for j in range(i)) > 10
    assert painter.paint([]) == []


def test_a_picture_does_not_depend_on_its_batch(make, usual):
    together = pixels(make(batch_size=4).paint(ORDERS))
    for size in (1, 3):
        other = pixels(make(batch_size=size).paint(ORDERS[::-1]))[::-1]
        assert apart(together, other) <= 1  # batched products round differently
    assert apart(together, pixels(usual)) == 0


def test_networks_may_be_moved_to_and_fro(make, usual):
    assert apart(pixels(make(offload=True).paint(ORDERS)), pixels(usual)) == 0


def test_the_text_encoder_of_deepfloyd_reads_each_caption_once(folders):
    painter, read = deepfloyd(folders, batch_size=2), []
    cascade = painter.pipelines
    encode = cascade.first.encode_prompt
    cascade.first.encode_prompt = lambda prompt, *a, **k: (
        (prompt and read.extend(prompt)) or encode(prompt, *a, **k)
    )
    calls = []
    cascade.first.text_encoder.register_forward_hook(lambda *_: calls.append(1))
    painter.paint(ORDERS * 2)
    painter.paint(ORDERS)
    assert sorted(read) == ["", "a cat on grass", "two dogs"]
    assert len(calls) == 3
    assert cascade.second.text_encoder is None


def test_deepfloyd_paints_what_its_stages_paint_by_hand(folders):
    [found] = pixels(deepfloyd(folders).paint(ORDERS[:1]))
    cascade = deepfloyd(folders).pipelines
    noise = torch.Generator().manual_seed(0)
    texts = dict(zip(("prompt_embeds", "negative_prompt_embeds"),
                     cascade.first.encode_prompt("a cat on grass", clean_caption=True), strict=True))  # fmt: skip
    small = cascade.first(prompt="a cat on grass", generator=noise, output_type="pt", **FEW).images
    large = cascade.second(image=small, **texts, generator=noise, output_type="pt", **FEW).images
    expected = ((large[0] / 2 + 0.5).clamp(0, 1) * 255).round().permute(1, 2, 0).numpy().astype(int)
    assert apart(found, expected) <= 1


def test_the_safety_checkers_verdict_is_kept(folders, tmp_path):
    clean = deepfloyd(folders).paint(ORDERS[:1])[0]
    assert (clean.unsafe, clean.watermarked) == (False, False)
    assert stable_diffusion(folders).paint(ORDERS[:1])[0].unsafe is None
    shutil.copytree(folders / "two", tmp_path / "two")
    flag_everything(tmp_path / "two")
    strict = DiffusersPainter(source(folders / "one"), source(tmp_path / "two"), device="cpu")
    [held] = strict.paint(ORDERS[:1])
    assert held.pixels is None
    assert held.reason == "held back by the safety checker as unsafe"
    assert (held.unsafe, held.watermarked) == (True, False)


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_a_picture_that_is_no_numbers_is_a_reason_and_spoils_no_other(folders, make, usual):
    painter = make()
    stage = getattr(painter.pipelines, "first", None) or painter.pipelines.pipeline

    def spoil(module, inputs, output):
        output[0][1] = torch.nan
        return output

    stage.unet.register_forward_hook(spoil)
    found = painter.paint(ORDERS)
    assert found[1].pixels is None
    assert "not numbers" in found[1].reason
    rest = [0, 2, 3]
    assert apart(pixels([found[at] for at in rest]), pixels([usual[at] for at in rest])) == 0


def cramp(painter, limit):
    """Let the painter's pipeline run out of memory with more than `limit` pictures; gives the batches' sizes."""
    draw, sizes = painter.pipelines.draw, []

    def cramped(captions, seeds):
        sizes.append(len(captions))
        if len(captions) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return draw(captions, seeds)

    painter.pipelines.draw = cramped
    return sizes


def test_the_batch_is_halved_until_it_fits_and_stays_so(make, usual):
    painter = make(batch_size=4)
    sizes = cramp(painter, 1)
    found = pixels(painter.paint(ORDERS))
    assert sizes == [4, 2, 1, 1, 1, 1]
    assert apart(found, pixels(usual)) <= 1
    painter.paint(ORDERS[:2])
    assert sizes[6:] == [1, 1]


def test_a_picture_too_large_for_the_memory_is_a_reason(make):
    painter = make(batch_size=2)
    cramp(painter, 0)
    found = painter.paint(ORDERS[:3])
    assert [each.reason for each in found] == ["out of memory with this picture alone"] * 3


def test_other_errors_come_through(make):
    painter = make()
    painter.pipelines.draw = lambda *_: (_ for _ in ()).throw(RuntimeError("broken"))
    with pytest.raises(RuntimeError, match="broken"):
        painter.paint(ORDERS[:1])


def test_a_blank_caption_is_a_reason(make):
    found = make().paint([Order(" \n"), ORDERS[0], Order("")])
    assert [each.reason for each in found] == ["the caption is blank", "", "the caption is blank"]


def test_the_name_follows_models_and_settings_not_the_place(folders, tmp_path):
    name = deepfloyd(folders).name
    assert deepfloyd(shutil.copytree(folders, tmp_path / "moved")).name == name
    assert deepfloyd(folders, batch_size=1, offload=True).name == name
    others = [
        stable_diffusion(folders),
        DiffusersPainter(
            source(folders / "one"), source(folders / "two", noise_level=9), device="cpu"
        ),
        DiffusersPainter(source(folders / "one"), device="cpu"),
        deepfloyd(folders, dtype=torch.bfloat16),
    ]
    assert len({name, *(painter.name for painter in others)}) == 5
    assert DiffusersPainter(*DEEPFLOYD, device="cpu").name == (
        'DeepFloyd/IF-I-XL-v1.0@main.fp16{}+DeepFloyd/IF-II-L-v1.0@main.fp16{"guidance_scale":4.0}-float32'
    )
    assert "FLUX.1-schnell" in DiffusersPainter(FLUX, device="cpu").name


def test_stage_one_alone_is_a_pipeline_like_any_other(folders):
    [small] = DiffusersPainter(source(folders / "one"), device="cpu").paint(ORDERS[:1])
    assert small.pixels.shape == (16, 16, 3)
    assert (small.unsafe, small.watermarked) == (False, False)


def test_settings_reach_the_pipeline(folders):
    [small] = DiffusersPainter(source(folders / "sd", height=16, width=8), device="cpu").paint(
        ORDERS[:1]
    )
    assert small.pixels.shape == (16, 8, 3)
    wrong = source(folders / "sd", no_such_setting=1)
    with pytest.raises(
        ValueError, match="StableDiffusionPipeline has no setting no_such_setting: it has prompt"
    ):
        DiffusersPainter(wrong, device="cpu").paint(ORDERS[:1])
    wrong = source(folders / "two", steps=1)
    with pytest.raises(ValueError, match="IFSuperResolutionPipeline has no setting steps"):
        DiffusersPainter(source(folders / "one"), wrong, device="cpu").paint(ORDERS[:1])


def test_another_precision_paints_too(folders):
    [painted] = deepfloyd(folders, dtype=torch.bfloat16).paint(ORDERS[:1])
    assert painted.pixels.std() > 10


def test_it_travels_before_it_is_loaded(folders):
    painter = pickle.loads(pickle.dumps(stable_diffusion(folders)))
    assert (
        apart(
            pixels(painter.paint(ORDERS[:1])), pixels(stable_diffusion(folders).paint(ORDERS[:1]))
        )
        == 0
    )


def test_what_cannot_be_loaded_is_said(tmp_path):
    with pytest.raises(ConnectionError, match=r"can't load the text-to-image pipeline .*nothing"):
        DiffusersPainter(source(tmp_path / "nothing"), device="cpu").paint(ORDERS[:1])
