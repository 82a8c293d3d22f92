"""Cues against literal loops over the sums of Sec. 5.1."""

import doctest
from inspect import unwrap

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from clipneuron.lens.options import Scoring
from clipneuron.lens.pursuit import STOPPED
from clipneuron.lens.words import spurious
from clipneuron.lens.words.spurious import (
    contributions,
    cosines,
    ranked,
    strongest_neurons,
    text_scores,
)


def problem(
    pairs: int, neurons: int, atoms: int, texts: int, seed: int, embed: int = 7
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Class directions, directions, and descriptions, some of which have ended early."""
    dice = torch.Generator().manual_seed(seed)
    v = torch.randn(pairs, embed, generator=dice, dtype=torch.float64)
    directions = torch.randn(neurons, embed, generator=dice, dtype=torch.float64)
    weights = torch.randn(neurons, atoms, generator=dice, dtype=torch.float64)
    orders = [torch.randperm(texts, generator=dice)[:atoms] for _ in range(neurons)]
    ends = torch.randint(0, atoms + 1, (neurons, 1), generator=dice)
    ended = torch.arange(atoms) >= ends
    return v, directions, torch.stack(orders).where(~ended, STOPPED), weights.where(~ended, 0.0)


def literal_neurons(v: Tensor, directions: Tensor, count: int) -> list[int]:
    sizes = [abs(sum(float(a) * float(b) for a, b in zip(v, r, strict=True))) for r in directions]
    return sorted(range(len(sizes)), key=lambda n: -sizes[n])[:count]


def literal_given(
    v: Tensor, directions: Tensor, indices: Tensor, weights: Tensor, chosen: list[int]
) -> dict[int, list[float]]:
    """What each text is given by each chosen neuron."""
    found: dict[int, list[float]] = {}
    for n in chosen:
        projection = sum(float(a) * float(b) for a, b in zip(v, directions[n], strict=True))
        for atom in range(indices.shape[1]):
            text = int(indices[n, atom])
            if text != STOPPED:
                found.setdefault(text, []).append(float(weights[n, atom]) * projection)
    return found


@settings(max_examples=40)
@given(
    pairs=st.integers(1, 4),
    neurons=st.integers(1, 9),
    atoms=st.integers(1, 6),
    count=st.integers(1, 12),
    scoring=st.sampled_from(["sum", "authors"]),
    seed=st.integers(0, 2**31),
)
def test_scores_are_the_literal_sums(
    pairs: int, neurons: int, atoms: int, count: int, scoring: Scoring, seed: int
):
    texts = atoms + 4
    v, directions, indices, weights = problem(pairs, neurons, atoms, texts, seed)
    projections = v @ directions.T
    chosen = strongest_neurons(projections, count)
    given_to = contributions(projections, chosen, weights)
    scores = text_scores(given_to, indices[chosen], texts, scoring)
    assert chosen.shape == (pairs, min(count, neurons))
    for pair in range(pairs):
        literal = literal_neurons(v[pair], directions, count)
        assert chosen[pair].tolist() == literal
        summands = literal_given(v[pair], directions, indices, weights, literal)
        whole = sum if scoring == "sum" else max
        expected = [whole(summands[j]) if j in summands else 0.0 for j in range(texts)]
        torch.testing.assert_close(scores[pair], torch.tensor(expected, dtype=torch.float64))


def authors_words(
    v: Tensor, directions: Tensor, indices: Tensor, weights: Tensor, count: int
) -> list[int]:
    """The authors' program in short: every (neuron, text) pair, sorted, and repeated texts dropped."""
    chosen = literal_neurons(v, directions, count)
    given_to = literal_given(v, directions, indices, weights, chosen)
    pairs = [(value, text) for text, values in given_to.items() for value in values]
    return list(dict.fromkeys(text for value, text in sorted(pairs, reverse=True) if value > 0))


@pytest.mark.parametrize("seed", range(5))
def test_the_authors_order_is_that_of_their_sorted_pairs(seed: int):
    v, directions, indices, weights = problem(1, 30, 6, 12, seed)
    projections = v @ directions.T
    chosen = strongest_neurons(projections, 10)
    found = contributions(projections, chosen, weights)
    scores = text_scores(found, indices[chosen], 12, "authors")
    order = [j for j in ranked(scores)[0].tolist() if scores[0, j] > 0]
    assert order == authors_words(v[0], directions, indices, weights, 10)
    summed = text_scores(found, indices[chosen], 12, "sum")
    assert not torch.allclose(summed, scores)


def test_the_sign_of_a_direction_does_not_matter():
    v, directions, indices, weights = problem(2, 8, 4, 9, seed=3)
    flip = torch.tensor([1.0, -1.0] * 4, dtype=torch.float64)[:, None]
    scores = []
    for sign in (1.0, flip):
        projections = v @ (directions * sign).T
        chosen = strongest_neurons(projections, 5)
        found = contributions(projections, chosen, weights * sign)
        scores.append(text_scores(found, indices[chosen], 9))
    torch.testing.assert_close(*scores)


def test_equal_ones_keep_their_order():
    assert strongest_neurons(torch.tensor([[0.5, -0.5, 0.7, 0.5]]), 3).tolist() == [[2, 0, 1]]
    scores = torch.zeros(1, 100).index_fill_(1, torch.tensor([40, 70]), 1.0)
    rest = [j for j in range(100) if j not in (40, 70)]
    assert ranked(scores)[0].tolist() == [40, 70, *rest]


def test_cosines_know_no_length():
    v, texts, *_ = problem(3, 5, 1, 1, seed=1)
    found = cosines(2 * v, texts / texts.norm(dim=1, keepdim=True))
    expected = [[float(a @ b / (a.norm() * b.norm())) for b in texts] for a in v]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_refusals():
    with pytest.raises(ValueError, match="at least one neuron"):
        strongest_neurons(torch.ones(1, 3), 0)
    with pytest.raises(ValueError, match="choose one of sum, authors"):
        unwrap(text_scores)(torch.ones(1, 1, 1), torch.zeros(1, 1, 1, dtype=torch.int64), 2, "best")


def test_the_examples():
    assert doctest.testmod(spurious).attempted >= 3
    assert doctest.testmod(spurious).failed == 0
