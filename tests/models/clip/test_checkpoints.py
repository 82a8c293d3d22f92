import gzip
import json
import logging
import warnings

import open_clip
import pytest
import torch
from open_clip import pretrained as tags
from open_clip.factory import _MODEL_CONFIGS
from open_clip.transformer import QuickGELU
from safetensors.torch import save_file
from torch import nn

from clipneuron.models.clip import checkpoints
from clipneuron.models.clip.checkpoints import check_available, check_named
from clipneuron.models.clip.model import load_clip
from tests.samples.towers import random_pixels, tiny_clip, tiny_config

MERGES = ["#version: 0.2", "c a", "ca t</w>", "d o", "do g</w>"]


@pytest.fixture
def architecture(monkeypatch):
    """A small architecture that open_clip knows by name, with GELU as ViT-B-32 has."""
    monkeypatch.setitem(_MODEL_CONFIGS, "ViT-Tiny-test", tiny_config(quick_gelu=False))
    return "ViT-Tiny-test"


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file(tiny_clip().state_dict(), path)
    return path


@pytest.fixture
def folder(tmp_path):
    """A model folder with its own tokenizer, as the shipped demo has."""
    path = tmp_path / "model"
    path.mkdir()
    vocabulary = 512 + len(MERGES) - 1 + 2
    settings = {
        "model_cfg": tiny_config(vocab_size=vocabulary, context_length=8),
        "preprocess_cfg": {
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            "resize_mode": "squash",
        },
    }
    (path / "open_clip_config.json").write_text(json.dumps(settings))
    network = tiny_clip(vocab_size=vocabulary, context_length=8)
    save_file(network.state_dict(), path / "open_clip_model.safetensors")
    with gzip.open(path / "bpe_vocab.txt.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join(MERGES))
    return path


def activations(network):
    blocks = (*network.visual.transformer.resblocks, *network.transformer.resblocks)
    return {type(block.mlp.gelu) for block in blocks}


def add_tag(monkeypatch, architecture, path, **settings):
    """What `pretrained="openai"` looks up, pointed at a file instead of a download."""
    entry = {"openai": {"file": str(path), **settings}}
    monkeypatch.setitem(tags._PRETRAINED, architecture, entry)


def test_a_name_and_a_file(architecture, weights):
    clip = load_clip(architecture, weights, device="cpu")
    assert clip.name == f"{architecture}/{weights}"
    assert activations(clip.network) == {nn.GELU}
    original = tiny_clip(quick_gelu=False)
    pixels = random_pixels(original.visual)
    with torch.no_grad():
        assert torch.equal(clip.encode_images(pixels), original.encode_image(pixels))


@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"state_dict": state}])
def test_a_name_and_a_pickled_file(architecture, tmp_path, wrap):
    network = tiny_clip()
    torch.save(wrap(network.state_dict()), tmp_path / "weights.pt")
    clip = load_clip(
        architecture, str(tmp_path / "weights.pt"), device="cpu", force_quick_gelu=True
    )
    assert clip.digest == load_clip(network).digest


def test_slashes_in_names_are_openais(architecture, weights):
    assert load_clip(architecture.replace("-", "/"), weights, device="cpu").layers == 4


def test_the_openai_tag_gets_quick_gelu_in_both_towers(monkeypatch, architecture, weights, caplog):
    add_tag(monkeypatch, architecture, weights, quick_gelu=True, mean=(0.1, 0.2, 0.3))
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        clip = load_clip(architecture, "openai", device="cpu")
    assert activations(clip.network) == {QuickGELU}
    assert clip.preprocess.mean == (0.1, 0.2, 0.3)
    assert clip.digest == load_clip(tiny_clip()).digest


def test_real_tags_that_need_quick_gelu_are_marked_by_open_clip():
    for name in ("ViT-B-32", "ViT-B-16", "ViT-L-14", "ViT-L-14-336"):
        assert tags.get_pretrained_cfg(name, "openai")["quick_gelu"]
    assert not tags.get_pretrained_cfg("ViT-L-14", "laion2b_s32b_b82k").get("quick_gelu")


def test_other_tags_keep_gelu(monkeypatch, architecture, weights):
    add_tag(monkeypatch, architecture, weights)
    assert activations(load_clip(architecture, "openai", device="cpu").network) == {nn.GELU}


@pytest.mark.parametrize(("forced", "expected"), [(True, QuickGELU), (False, nn.GELU)])
@pytest.mark.parametrize("tagged", [True, False])
def test_the_activation_can_be_forced(monkeypatch, architecture, weights, forced, expected, tagged):
    add_tag(monkeypatch, architecture, weights, quick_gelu=tagged)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # open_clip's own, when forced against the tag
        clip = load_clip(architecture, "openai", device="cpu", force_quick_gelu=forced)
    assert activations(clip.network) == {expected}


def test_an_architecture_with_quick_gelu_keeps_it(monkeypatch, weights):
    monkeypatch.setitem(_MODEL_CONFIGS, "tiny-quickgelu", tiny_config(quick_gelu=True))
    assert activations(load_clip("tiny-quickgelu", weights, device="cpu").network) == {QuickGELU}


class Archived(nn.Module):
    """What OpenAI's own files hold: the network as TorchScript, with three entries besides."""

    def __init__(self, network, extras):
        super().__init__()
        for name, child in network.named_children():
            self.add_module(name, child)
        for name, parameter in network.named_parameters(recurse=False):
            self.register_parameter(name, parameter)
        for name in extras:
            self.register_buffer(name, torch.tensor(7))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("extras", "expected"),
    [(("input_resolution", "context_length", "vocab_size"), QuickGELU), ((), nn.GELU)],
)
def test_openais_own_archives_are_known_by_their_extra_entries(
    architecture, tmp_path, extras, expected
):
    archive = torch.jit.trace(Archived(tiny_clip(), extras), torch.zeros(1))
    archive.save(tmp_path / "ViT-B-32.pt")
    clip = load_clip(architecture, tmp_path / "ViT-B-32.pt", device="cpu")
    assert activations(clip.network) == {expected}
    assert torch.equal(clip.visual.proj, tiny_clip().visual.proj)


@pytest.mark.parametrize("prefix", ["", "local-dir:"])
def test_a_folder(folder, prefix):
    clip = load_clip(f"{prefix}{folder}", device="cpu")
    assert clip.name == "model"
    assert clip.preprocess.resize_mode == "squash"
    assert clip.preprocess.mean == (0.5, 0.5, 0.5)
    assert activations(clip.network) == {QuickGELU}
    tokens = clip._tokenizer(["cat dog"])
    assert tokens.shape == (1, 8)
    assert tokens[0, :4].tolist() == [516, 513, 515, 517]  # start, cat, dog, end
    assert clip.encode_texts(["cat", "dog"]).shape == (2, 24)
    assert load_clip(folder, device="cpu").digest == clip.digest


def test_a_folder_without_merges_has_open_clips_tokenizer(folder):
    (folder / "bpe_vocab.txt.gz").unlink()
    clip = load_clip(folder, device="cpu")
    with pytest.raises(ValueError, match="do not belong together"):
        clip.encode_texts(["cat"])


def test_a_folder_brings_its_own_weights(folder):
    with pytest.raises(ValueError, match="leave out pretrained"):
        load_clip(str(folder), "openai")
    with pytest.raises(ValueError, match="leave out pretrained"):
        load_clip("demo", "openai")


def test_a_folder_without_weights_is_refused(folder):
    (folder / "open_clip_model.safetensors").unlink()
    with pytest.raises(ValueError, match="could not load"):
        load_clip(folder)


def test_a_folder_without_configuration_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"open_clip_config\.json"):
        load_clip(tmp_path)


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"open_clip_config\.json"):
        load_clip(f"local-dir:{tmp_path}/nowhere")


def test_unknown_names_come_with_close_ones():
    with pytest.raises(ValueError, match=r"unknown model 'ViT-B-23'.*ViT-B-32"):
        load_clip("ViT-B-23", "openai")


def test_unknown_tags_come_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'opnai' is neither.*openai, laion400m_e31"):
        load_clip("ViT-B-32", "opnai")


def test_random_weights_are_never_given_by_omission():
    with pytest.raises(ValueError, match=r"ViT-B-32 needs weights.*openai"):
        load_clip("ViT-B-32")


def test_a_file_alone_says_how_to_name_its_architecture(weights):
    with pytest.raises(ValueError, match="is a file: name its architecture"):
        load_clip(weights)


@pytest.mark.parametrize("name", ["RN50", "coca_ViT-B-32", "ViT-B-16-SigLIP"])
def test_foreign_architectures_are_refused_before_any_download(name):
    tag = open_clip.list_pretrained_tags_by_model(name)[0]
    with pytest.raises(ValueError, match="this image tower is"):
        load_clip(name, tag)


def test_a_file_of_another_architecture_is_refused_in_few_words(monkeypatch, weights):
    monkeypatch.setitem(_MODEL_CONFIGS, "wider", tiny_config(width=64))
    with pytest.raises(ValueError, match="could not load wider with") as caught:
        load_clip("wider", weights)
    assert len(str(caught.value)) < 1500


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pt"])
@pytest.mark.parametrize("content", [b"", b"no weights at all", bytes(100)])
def test_a_broken_file_is_refused(architecture, tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match="could not load"):
        load_clip(architecture, tmp_path / name)


def test_a_failing_download_says_how_to_do_without(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConnectionError, match=r"pass its path: load_clip\('ViT-B-32', pretrained="):
        load_clip("ViT-B-32", "openai", cache_dir=str(tmp_path))
    with pytest.raises(ConnectionError, match="could not download hf-hub:nobody/nothing"):
        load_clip("hf-hub:nobody/nothing", cache_dir=str(tmp_path))


@pytest.mark.parametrize(
    ("model", "weights", "message"),
    [
        ("ViT-B-23", "openai", r"unknown model 'ViT-B-23'.*close: .*ViT-B-32"),
        (
            "ViT-B-32",
            "opnai",
            r"'opnai' is neither a known tag nor a file; tags of ViT-B-32: openai",
        ),
        ("ViT-B/32", None, "ViT-B-32 needs weights"),
    ],
)
def test_names_that_open_clip_does_not_know_are_refused_before_anything_is_fetched(
    model, weights, message
):
    with pytest.raises(ValueError, match=message):
        check_named(model, weights)


def test_names_that_it_knows_are_not(tmp_path):
    for model, weights in (("ViT-B-32", "openai"), ("demo", None), (str(tmp_path), None)):
        check_named(model, weights)


@pytest.mark.parametrize(
    ("model", "tag", "places"),
    [
        ("ViT-B/32", "openai", ["timm/vit_base_patch32_clip_224.openai"]),
        ("ViT-B-32", "laion2b_s34b_b79k", ["laion/CLIP-ViT-B-32-laion2B-s34B-b79K"]),
        ("demo", None, []),
    ],
)
def test_weights_of_a_tag_are_looked_for_where_they_would_be_fetched(
    monkeypatch, model, tag, places
):
    asked: list[str] = []
    monkeypatch.setattr(checkpoints, "look_for", lambda place, **_: asked.append(place))
    check_available(model, tag)
    assert asked == places


def test_weights_of_a_file_are_not_looked_for_on_the_hub(monkeypatch, architecture, weights):
    monkeypatch.setattr(checkpoints, "look_for", None)
    check_available(architecture, str(weights))
