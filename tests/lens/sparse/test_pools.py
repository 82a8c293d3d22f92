"""What a pool allows: its rank, and its texts that are nearly equal."""

import math

import pytest
import torch
from torch.nn.functional import normalize

from clipneuron.lens.pursuit import prepare
from clipneuron.lens.sparse.pools import alike, rank
from tests.lens.test_pursuit import problem


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 100.0])
def test_the_rank_of_a_pool_counts_its_independent_axes(dtype: torch.dtype, scale: float) -> None:
    _, texts = (part.to(dtype) for part in problem())
    assert rank(scale * texts) == 16
    assert rank(scale * texts[:7]) == 7
    assert rank(scale * texts @ torch.diag((torch.arange(16) < 5).to(dtype))) == 5
    few = texts[:9]
    assert rank(prepare(few, "unit")) == 9
    assert rank(prepare(few, "centered")) == 8, "the mean is taken off"
    assert rank(prepare(torch.cat([few, few]), "unit")) == 9


def test_a_narrow_cone_of_texts_keeps_its_rank() -> None:
    """CLIP's texts have a cosine of about 0.8 with each other."""
    _, texts = problem(texts=400)
    assert rank(normalize(texts + 2 * texts[:1], dim=1).float()) == 16


@pytest.mark.parametrize("block", [1, 3, 1000])
def test_nearly_equal_texts_are_counted_once_each_with_the_closest_pair(block: int) -> None:
    _, texts = problem()
    near = normalize(texts[:2] + 0.05 * texts[10:12], dim=1)
    pool = torch.cat([texts, near, texts[7:8]])
    found = alike(pool, block=block)
    assert found[:3] == (3, 7, 42)
    assert found.cosine == pytest.approx(1.0)


def test_a_pool_of_different_texts_has_none_alike() -> None:
    found = alike(problem()[1])
    assert found[:3] == (0, -1, -1)
    assert math.isnan(found.cosine)
