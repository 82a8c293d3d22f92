import pytest
from pydantic import ValidationError

from clipneuron.config.recipe import Recipe


def recipe(device):
    return Recipe(name="a", model="demo", images="demo", device=device)


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:1"])
def test_a_device_that_can_compute_is_taken(device):
    assert recipe(device).device == device


@pytest.mark.parametrize("device", ["mps", "mps:0"])
def test_a_device_without_float64_is_refused_with_the_reason(device):
    with pytest.raises(ValidationError, match=r"mps.* has no float64, in which effects are summed"):
        recipe(device)


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "cpu1", "xla", "autocuda", ""])
def test_other_words_are_refused(device):
    with pytest.raises(ValidationError, match="expected auto, cpu, cuda or cuda:1"):
        recipe(device)
