"""Shapes in signatures are checked in the tests of tensors and where a test asks for it: elsewhere it is too slow."""

import pytest
import torch
from jaxtyping import TypeCheckError

from clipneuron.lens.directions import directions_of_effects
from tests.samples.shapes import CHECKED, checked, is_checked

FLAT = torch.zeros(2, 3)
"""Effects without an axis."""


def test_they_are_where_it_is_asked_for_and_not_here() -> None:
    with pytest.raises(TypeCheckError), checked():
        directions_of_effects(FLAT)
    with pytest.raises(Exception) as other:  # noqa: PT011 whatever torch says of it
        directions_of_effects(FLAT)
    assert not isinstance(other.value, TypeCheckError)


@pytest.mark.parametrize("folder", CHECKED)
def test_they_are_in_tests_of_tensors(folder: str) -> None:
    assert is_checked(f"{folder}test_any.py::test_one")
    assert not is_checked(f"tests/cli/{folder}test_any.py::test_one")
