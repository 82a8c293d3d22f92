"""The non-negative lasso, against scikit-learn's and against the conditions that its solution alone fulfils."""

import doctest

import numpy as np
import pytest
import torch
from sklearn.linear_model import Lasso as Reference
from torch.nn import functional

from clipneuron.lens.sparse import lasso
from clipneuron.lens.sparse.lasso import nonnegative_lasso
from clipneuron.lens.sparse.supports import STOPPED


def problem(
    texts: int, embed: int, targets: int, seed: int, shared: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Unit targets that are noisy sums of a few unit texts, which have a part in common."""
    dice = torch.Generator().manual_seed(seed)
    common = shared * torch.randn(1, embed, generator=dice)
    pool = functional.normalize(torch.randn(texts, embed, generator=dice) + common, dim=1)
    picked = torch.stack([torch.randperm(texts, generator=dice)[:4] for _ in range(targets)])
    weights = torch.rand(targets, 4, generator=dice) + 0.2
    sums = (weights[..., None] * pool[picked]).sum(1)
    noise = 0.1 * torch.randn(targets, embed, generator=dice)
    return functional.normalize(sums + noise, dim=1), pool


def dense(found: lasso.Lasso, texts: int) -> torch.Tensor:
    weights = torch.zeros(len(found.weights), texts + 1)
    places = found.indices.where(found.indices != STOPPED, texts)
    return weights.scatter(1, places, found.weights)[:, :texts]


def test_examples() -> None:
    found = doctest.testmod(lasso)
    assert found.attempted > 0
    assert found.failed == 0


@pytest.mark.parametrize("penalty", [0.05, 0.1, 0.3])
@pytest.mark.parametrize(("texts", "embed", "shared"), [(30, 16, 0.0), (200, 24, 0.5)])
def test_weights_are_scikit_learns(texts: int, embed: int, shared: float, penalty: float) -> None:
    targets, pool = problem(texts, embed, 6, seed=texts, shared=shared)
    found = dense(nonnegative_lasso(targets, pool, penalty), texts)
    for target, own in zip(targets, found, strict=True):
        reference = Reference(
            alpha=penalty / embed, positive=True, fit_intercept=False, tol=1e-10, max_iter=200_000
        )
        reference.fit(pool.T.double().numpy(), target.double().numpy())
        np.testing.assert_allclose(own, reference.coef_, atol=2e-4)


@pytest.mark.parametrize("penalty", [2e-3, 1e-4, 1e-6])
@pytest.mark.parametrize("seed", range(3))
def test_a_small_penalty_ends_before_a_sum_has_as_many_texts_as_dimensions(
    seed: int, penalty: float
) -> None:
    """Texts of the support exceed the penalty by the rounding of float32, and were added again."""
    targets, pool = problem(600, 64, 16, seed)
    found = nonnegative_lasso(targets, pool, penalty)
    for row in found.indices:
        own = row[row != STOPPED].tolist()
        assert len(set(own)) == len(own) == 60
    assert (targets - dense(found, 600) @ pool).norm(dim=1).max() < 0.1


@pytest.mark.parametrize("seed", range(3))
def test_the_conditions_of_the_optimum_hold(seed: int) -> None:
    """Products with the residual are the penalty where there is weight, and at most the penalty elsewhere."""
    targets, pool = problem(300, 32, 20, seed, shared=0.3)
    weights = dense(nonnegative_lasso(targets, pool, 0.1), 300)
    products = (targets - weights @ pool) @ pool.T
    assert (weights >= 0).all()
    assert products.max() < 0.1 + 1e-5
    torch.testing.assert_close(
        products[weights > 0], torch.full_like(products[weights > 0], 0.1), atol=1e-5, rtol=0
    )


def test_a_text_that_is_there_twice_costs_nothing_and_a_large_penalty_leaves_nothing() -> None:
    targets, pool = problem(40, 16, 5, seed=1)
    once = nonnegative_lasso(targets, pool, 0.1)
    twice = nonnegative_lasso(targets, torch.cat([pool, pool]), 0.1)
    torch.testing.assert_close(
        dense(twice, 80).view(5, 2, 40).sum(1), dense(once, 40), atol=1e-5, rtol=0
    )
    nothing = nonnegative_lasso(targets, pool, 2.0)
    assert nothing.indices.shape == nothing.weights.shape == (5, 0)
    assert len(nonnegative_lasso(targets[:0], pool, 0.1).weights) == 0


def test_texts_are_sorted_by_weight_and_a_penalty_must_be_positive() -> None:
    targets, pool = problem(60, 16, 8, seed=2)
    found = nonnegative_lasso(targets, pool, 0.05)
    assert (found.weights.diff(dim=1) <= 0).all()
    assert ((found.indices == STOPPED) == (found.weights == 0)).all()
    for penalty in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="expected a positive number"):
            nonnegative_lasso(targets, pool, penalty)
