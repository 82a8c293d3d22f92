"""One pass gives descriptions of every length: refitted, with their condition, and non-negative where asked for."""

from inspect import unwrap

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls
from torch import Tensor
from torch.nn.functional import normalize

from clipneuron.lens.pursuit import STOPPED, Solution, pursuit, solutions
from tests.lens.test_pursuit import problem

unchecked = unwrap(solutions)


def fitted(solution: Solution, texts: Tensor) -> Tensor:
    return torch.einsum("na,nae->ne", solution.weights, texts[solution.indices.clamp(min=0)])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_each_length_is_what_a_pursuit_of_that_length_finds(dtype: torch.dtype) -> None:
    directions, texts = (part.to(dtype) for part in problem())
    lengths = [4, 1, 12]
    for length, found in zip(lengths, solutions(directions, texts, lengths, block=4), strict=True):
        alone = pursuit(directions, texts, length)
        assert torch.equal(found.indices, alone.indices)
        torch.testing.assert_close(found.weights, alone.weights)
        torch.testing.assert_close(found.residuals, alone.residuals)


def test_the_condition_is_that_of_the_chosen_texts_of_unit_norm() -> None:
    directions, texts = problem()
    directions = torch.cat([directions, texts[5:6], torch.zeros(1, 16, dtype=torch.float64)])
    scaled = texts * torch.linspace(1, 9, len(texts), dtype=torch.float64)[:, None]
    for found in solutions(directions, scaled, [3, 9]):
        for indices, condition in zip(found.indices, found.conditions, strict=True):
            chosen = texts[indices[indices != STOPPED]].numpy()
            expected = np.linalg.cond(chosen) if len(chosen) else 1.0
            assert float(condition) == pytest.approx(expected, rel=1e-8)


def test_the_largest_summand_is_measured_in_lengths_of_the_direction() -> None:
    directions, texts = problem()
    scaled = texts * torch.linspace(1, 9, len(texts), dtype=torch.float64)[:, None]
    (plain,), (other,) = solutions(directions, texts, [1]), solutions(7 * directions, scaled, [1])
    assert (plain.largest <= 1).all(), "a projection is no longer than what is projected"
    summands = other.weights[:, 0] * scaled[other.indices[:, 0]].norm(dim=1)
    torch.testing.assert_close(other.largest, summands.abs() / (7 * directions).norm(dim=1))


@settings(max_examples=40)
@given(
    neurons=st.integers(1, 4),
    texts=st.integers(2, 40),
    embed=st.integers(2, 16),
    common=st.sampled_from([0.0, 1.0]),
    seed=st.integers(0, 2**31),
)
def test_non_negative_weights_are_those_of_scipy(
    neurons: int, texts: int, embed: int, common: float, seed: int
) -> None:
    directions, pool = problem(neurons, texts, embed, seed)
    pool = normalize(pool + common * pool[:1], dim=1)
    length = max(1, min(texts, embed) // 2)
    (found,) = solutions(directions, pool, [length], nonnegative=True)
    assert (found.weights >= 0).all()
    for place, direction in enumerate(directions):
        chosen = found.indices[place][found.indices[place] != STOPPED]
        if not len(chosen):
            assert (pool @ direction).max() <= 1e-12
            continue
        expected, residual = nnls(pool[chosen].T.numpy(), direction.numpy())
        np.testing.assert_allclose(found.weights[place, : len(chosen)], expected, atol=1e-8)
        assert float(found.residuals[place, -1]) == pytest.approx(residual, abs=1e-8)


def test_a_non_negative_step_takes_the_text_that_the_residual_points_to_most() -> None:
    directions, texts = problem(neurons=20)
    lengths = range(1, 7)
    every = solutions(directions, texts, lengths, nonnegative=True)
    residual = directions
    for step, found in enumerate(every):
        grew = found.indices[:, step] != STOPPED
        best = (residual @ texts.T).max(dim=1)
        assert torch.equal(found.indices[grew, step], best.indices[grew])
        assert (best.values[~grew] < 1e-12).all() or not (~grew).any()
        residual = directions - fitted(found, texts)


def test_a_direction_against_all_texts_has_no_non_negative_description() -> None:
    against, other = -torch.eye(3)[:1], torch.eye(3)[1:2]
    (found,) = solutions(torch.cat([against, other]), torch.eye(3), [2], nonnegative=True)
    assert found.indices.tolist() == [[-1, -1], [1, -1]]
    assert found.residuals[0].tolist() == [1, 1]
    assert (found.conditions.tolist(), found.largest.tolist()) == ([1, 1], [0, 1])


def test_equal_texts_and_directions_in_the_span_of_few_end_early_without_large_weights() -> None:
    _, texts = problem()
    twice = torch.cat([texts, texts[:9]])
    inside = torch.stack([texts[3], normalize(texts[3] + texts[20], dim=0)])
    for nonnegative in (False, True):
        (found,) = solutions(inside, twice, [8], nonnegative=nonnegative)
        assert (found.residuals[:, -1] < 1e-6).all()
        assert (found.largest < 2).all()
        assert (found.conditions < 1e3).all()
        assert int((found.indices[0] != STOPPED).sum()) == 1


def test_lengths_that_there_cannot_be_are_refused() -> None:
    directions, texts = problem()
    with pytest.raises(ValueError, match="no length"):
        unchecked(directions, texts, [])
    with pytest.raises(ValueError, match="atoms is 17; expected 1 to 16"):
        unchecked(directions, texts, [4, 17])


def planted(neurons: int = 120, texts: int = 200, embed: int = 64) -> tuple[Tensor, Tensor, Tensor]:
    """Directions of two known texts each among noise, in a pool whose texts differ in few axes as a trained model's."""
    dice = torch.Generator().manual_seed(0)
    spectrum = torch.exp(-torch.arange(embed) / 14)
    pool = normalize(torch.randn(texts, embed, generator=dice) * spectrum, dim=1)
    chosen = torch.stack([torch.randperm(texts, generator=dice)[:2] for _ in range(neurons)])
    noise = torch.randn(neurons, embed, generator=dice) / embed**0.5
    true = pool[chosen[:, 0]] - 0.7 * pool[chosen[:, 1]]
    return normalize(true + 0.6 * noise, dim=1), pool, chosen


def test_words_of_a_short_pursuit_are_truer_than_the_strongest_of_a_long_one() -> None:
    """The order of the table in docs/method.md, where the truth is planted: m = 4, d / 2, d."""
    directions, pool, chosen = planted()
    truth, errors, weights = [], [], []
    for found in solutions(directions, pool, [4, 32, 64]):
        strongest = found.weights.abs().topk(4, dim=1).indices
        words = found.indices.gather(1, strongest)
        hits = (words[:, :, None] == chosen[:, None]).any(dim=1).float()
        truth.append(float(hits.mean()))
        errors.append(float(found.residuals[:, -1].median()))
        weights.append(float(found.largest.median()))
    assert truth[0] > 0.9
    assert truth[0] > truth[1] + 0.2
    assert truth[1] > truth[2] + 0.2
    assert errors[0] > errors[1] > errors[2], "the reconstruction rises meanwhile"
    assert weights[0] < weights[1] < 2 < weights[2]
