"""Concepts of pictures, against loops over pictures, neurons and texts."""

import doctest

import pytest
import torch

from clipneuron.lens.words import concepts
from clipneuron.lens.words.concepts import behind, best, concept_scores, given, heats, truthful
from clipneuron.lens.words.truth import Words

IMAGES, NEURONS, TEXTS, PLACES = 5, 7, 11, 3


def drawn(seed: int) -> tuple[torch.Tensor, torch.Tensor, Words]:
    dice = torch.Generator().manual_seed(seed)
    strengths = torch.randn(IMAGES, NEURONS, generator=dice, dtype=torch.float64)
    activated = torch.rand(IMAGES, NEURONS, generator=dice) < 0.4
    activated[2] = False
    indices = torch.stack([torch.randperm(TEXTS, generator=dice)[:PLACES] for _ in range(NEURONS)])
    weights = torch.randn(NEURONS, PLACES, generator=dice, dtype=torch.float64)
    weights[3, 1:] = 0
    return strengths, activated, Words(indices, weights)


def test_examples() -> None:
    found = doctest.testmod(concepts)
    assert found.attempted > 0
    assert found.failed == 0


@pytest.mark.parametrize("seed", range(3))
def test_scores_are_the_sum_over_activated_neurons(seed: int) -> None:
    strengths, activated, words = drawn(seed)
    wanted = torch.zeros(IMAGES, TEXTS, dtype=torch.float64)
    for image in range(IMAGES):
        for neuron in range(NEURONS):
            for place in range(PLACES):
                if activated[image, neuron]:
                    text = words.indices[neuron, place]
                    wanted[image, text] += words.weights[neuron, place] * strengths[image, neuron]
    found = concept_scores(given(strengths, activated, words), IMAGES, TEXTS)
    torch.testing.assert_close(found, wanted)
    assert not found[2].any()


def test_behind_a_concept_are_the_neurons_that_give_to_it_the_strongest_first() -> None:
    strengths, activated, words = drawn(4)
    entries = given(strengths, activated, words)
    chosen = best(concept_scores(entries, IMAGES, TEXTS), 4)
    found = behind(entries, chosen, TEXTS)
    for image in range(IMAGES):
        for place in range(4):
            own = (found.image == image) & (found.place == place)
            text = chosen[image, place]
            wanted = [
                (float(words.weights[neuron, at] * strengths[image, neuron]), neuron)
                for neuron in range(NEURONS)
                for at in range(PLACES)
                if activated[image, neuron]
                and words.indices[neuron, at] == text
                and words.weights[neuron, at]
            ]
            shown = list(zip(found.amount[own].tolist(), found.neuron[own].tolist(), strict=True))
            assert shown == sorted(wanted, reverse=True)


def test_heat_is_what_neurons_give_times_how_active_they_are_on_the_patch() -> None:
    strengths, activated, words = drawn(5)
    entries = given(strengths, activated, words)
    chosen = best(concept_scores(entries, IMAGES, TEXTS), 2)
    found = behind(entries, chosen, TEXTS)
    activations = torch.randn(IMAGES, 6, NEURONS, dtype=torch.float64)
    wanted = torch.zeros(IMAGES, 2, 6, dtype=torch.float64)
    for image, place, neuron, amount in zip(*found, strict=True):
        wanted[image, place] += amount * activations[image, :, neuron]
    torch.testing.assert_close(heats(found, activations, 2), wanted)


def test_precision_and_rank_counted_by_hand() -> None:
    scores = torch.tensor(
        [
            [0.9, 0.8, 0.7, 0.6, 0.5, 0.4],  # true: second and last
            [0.0, 0.3, 0.0, 0.0, 0.0, 0.0],  # five texts tie at 0: each has rank (2 + ... + 6) / 5
            [0.5, 0.4, 0.3, 0.2, 0.1, 0.0],  # nothing is true
        ]
    )
    holds = torch.zeros(3, 6, dtype=torch.bool)
    holds[0, [1, 5]] = True
    holds[1, [0, 1]] = True
    found = truthful(scores, holds, first=5)
    torch.testing.assert_close(found.precision[:2], torch.tensor([0.2, 0.2]))
    torch.testing.assert_close(found.bound[:2], torch.tensor([0.4, 0.4]))
    torch.testing.assert_close(found.mean_rank[:2], torch.tensor([4.0, 2.5]))
    assert all(values[2].isnan() for values in found)
