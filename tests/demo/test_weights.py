"""The shipped model is small, loads by open_clip alone, and knows the world."""

import open_clip
import pytest
import torch

from clipneuron.demo import WEIGHTS, class_of
from clipneuron.demo.training.evaluate import classify, decoys, held_out_scenes
from clipneuron.demo.training.train import read_weights

MEGABYTE = 1 << 20

ACCURACY = 0.82
"""A few points below the figure of the model card (0.883)."""


def test_the_folder_is_complete_and_small():
    files = {path.name: path.stat().st_size for path in WEIGHTS.iterdir()}
    assert set(files) == {
        "MODEL_CARD.md",
        "bpe_vocab.txt.gz",
        "open_clip_config.json",
        "open_clip_model.safetensors",
    }
    assert sum(files.values()) < 12 * MEGABYTE


@pytest.mark.parametrize(
    ("hand", "licence"),
    [("Twemoji", "CC-BY 4.0"), ("OpenMoji", "CC BY-SA 4.0"), ("Noto Emoji", "Open Font License")],
)
def test_the_card_attributes_the_artwork(hand, licence):
    card = (WEIGHTS / "MODEL_CARD.md").read_text()
    assert hand in card
    assert licence in card


def test_open_clip_loads_the_folder():
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{WEIGHTS}")
    ours, _ = read_weights(WEIGHTS)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model.encode_image(images), ours.encode_image(images))
    assert str(preprocess).count("(64, 64)") >= 1
    assert len(model.visual.transformer.resblocks) == 10
    assert model.visual.transformer.resblocks[0].mlp.c_fc.out_features == 384


@pytest.mark.slow
def test_classes_are_told_apart_without_their_company():
    scenes = held_out_scenes(200, biased=False, of_a_class=True)
    said = classify(*read_weights(WEIGHTS), scenes)
    right = sum(a == class_of(scene) for a, scene in zip(said, scenes, strict=True))
    assert right / 200 >= ACCURACY


def test_decoys_hold_no_class():
    owners, scenes = decoys(each=3)
    assert len(owners) == len(scenes) == 30
    assert {class_of(scene) for scene in scenes} == {""}
