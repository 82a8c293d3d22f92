from types import SimpleNamespace

import pytest
import torch

from clipneuron.models.clip.model import load_clip
from tests.samples.towers import tiny_clip, tiny_tower


def test_nan_and_infinite_weights_are_named_and_counted_before_any_pass():
    network = tiny_clip()
    with torch.no_grad():
        network.visual.proj[0, :3] = torch.nan
        network.visual.proj[1, 0] = -torch.inf
        network.ln_final.bias[2] = torch.inf
    with pytest.raises(
        ValueError,
        match=r"CLIP has weights that are not finite, in 2 of its .*visual\.proj \(3 NaN and 1 infinite of 768\), "
        r".*ln_final\.bias \(1 infinite of 16\)\. Their training diverged",
    ):
        load_clip(network)


def test_a_whole_model_of_nan_is_three_names():
    network = tiny_clip()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(torch.nan)
    with pytest.raises(ValueError, match=r"in \d\d of its tensors: ") as told:
        load_clip(network)
    assert str(told.value).count(" NaN of ") == 3


def test_numbers_too_large_for_float16_are_told_apart():
    network = tiny_clip()
    with torch.no_grad():
        network.visual.proj[0, 0] = 1e6
    load_clip(network)
    with pytest.raises(ValueError, match=r"visual\.proj \(1 infinite of 768\)\. float16 ends at"):
        load_clip(network, dtype=torch.float16)


def test_an_image_tower_on_its_own_is_looked_through_too():
    tower = tiny_tower()
    load_clip(SimpleNamespace(visual=tower))
    with torch.no_grad():
        tower.class_embedding[0] = torch.nan
    with pytest.raises(ValueError, match=r"class_embedding \(1 NaN of 32\)"):
        load_clip(tower)
    with pytest.raises(ValueError, match=r"class_embedding \(1 NaN of 32\)"):
        load_clip(SimpleNamespace(visual=tower))
