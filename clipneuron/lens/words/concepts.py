"""Concepts of a picture: the texts of the neurons that are activated on it (Sec. 5.2, Fig. 7).

    N(I)  = the neurons with |phi_n(I) - b_n| above a threshold of their own
    w_j^I = sum over n in N(I) of gamma_j^n g_n(I)

gamma_j^n is the weight of text j in the sparse description of r_n. g_n is |phi_n - b_n|, as in the paper, whatever the
sign with which the effect lies along r_n, or <phi_n - b_n, r_n>, which has it. The neurons may be of any layers, one
after another.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clipneuron.lens.scores.metrics import mean_ranks
from clipneuron.lens.words.truth import Words


class Given(NamedTuple):
    """What activated neurons give to texts: an entry per picture, neuron and text of its description."""

    image: Int[Tensor, "entry"]
    neuron: Int[Tensor, "entry"]
    text: Int[Tensor, "entry"]
    amount: Float[Tensor, "entry"]


def given(
    strengths: Float[Tensor, "image neuron"],
    activated: Bool[Tensor, "image neuron"],
    words: Words,
) -> Given:
    """gamma_j^n g_n(I) of all activated neurons and the texts with a weight in their descriptions.

    `strengths` are g. Entries are in the order of pictures, then of neurons, then of places in a description.
    """
    image, neuron = activated.nonzero(as_tuple=True)
    weights = words.weights[neuron].to(strengths)
    amounts = weights * strengths[image, neuron][:, None]
    entry, place = (weights != 0).nonzero(as_tuple=True)
    return Given(
        image[entry], neuron[entry], words.indices[neuron[entry], place], amounts[entry, place]
    )


def concept_scores(found: Given, images: int, texts: int) -> Float[Tensor, "image text"]:
    """w_j^I of every text of the pool, 0 for those in no activated neuron's description.

    >>> entries = Given(*(torch.tensor(n) for n in ([0, 0, 1], [4, 7, 4], [2, 2, 0])), torch.tensor([1.0, 0.5, 3.0]))
    >>> concept_scores(entries, 2, 3)
    tensor([[0.0000, 0.0000, 1.5000],
            [3.0000, 0.0000, 0.0000]])
    """
    totals = found.amount.new_zeros(images * texts)
    return totals.index_add_(0, found.image * texts + found.text, found.amount).view(images, texts)


class Behind(NamedTuple):
    """The neurons behind the concepts of pictures: an entry per picture, place of the concept, and neuron.

    Sorted by picture, then place, then by falling amount.
    """

    image: Int[Tensor, "entry"]
    place: Int[Tensor, "entry"]
    neuron: Int[Tensor, "entry"]
    amount: Float[Tensor, "entry"]


def behind(found: Given, concepts: Int[Tensor, "image place"], texts: int) -> Behind:
    """Which neurons give to which of each picture's concepts, given by their numbers in a pool of `texts`."""
    images, places = concepts.shape
    place_of = torch.full((images, texts), -1, device=concepts.device)
    numbers = torch.arange(places, device=concepts.device).expand(images, -1)
    place_of.scatter_(1, concepts, numbers)
    place = place_of[found.image, found.text]
    kept = place >= 0
    image, place = found.image[kept], place[kept]
    neuron, amount = found.neuron[kept], found.amount[kept]
    order = amount.argsort(descending=True, stable=True)
    order = order[(image * places + place)[order].argsort(stable=True)]
    return Behind(image[order], place[order], neuron[order], amount[order])


def best(scores: Float[Tensor, "image text"], count: int) -> Int[Tensor, "image place"]:
    """The texts of the largest scores, the largest first; of equal ones the first of the pool."""
    order = scores.argsort(dim=1, descending=True, stable=True)
    return order[:, :count]


def heats(
    found: Behind, activations: Float[Tensor, "image patch neuron"], places: int
) -> Float[Tensor, "image place patch"]:
    """Where in the pictures their concepts come from: the sum of what neurons give times how active they are there."""
    images, _, neurons = activations.shape
    amounts = activations.new_zeros(images * places * neurons)
    where = (found.image * places + found.place) * neurons + found.neuron
    amounts.index_add_(0, where, found.amount.to(activations))
    return amounts.view(images, places, neurons) @ activations.mT


class Truthful(NamedTuple):
    """How well rankings of texts find what is true of pictures; NaN where nothing is."""

    precision: Float[Tensor, "image"]
    """Share of the first texts that are true; a place without a score above 0 is a miss."""
    bound: Float[Tensor, "image"]
    """The precision of a perfect ranking."""
    mean_rank: Float[Tensor, "image"]
    """Of the true texts among all; 1 is the first, and ties share their mean rank."""


def truthful(
    scores: Float[Tensor, "image text"], holds: Bool[Tensor, "image text"], first: int = 5
) -> Truthful:
    """Precision of the `first` texts and mean rank of the true ones.

    >>> truthful(torch.tensor([[0.9, 0.0, 0.5, 0.0]]), torch.tensor([[True, True, False, False]]), 2)
    Truthful(precision=tensor([0.5000]), bound=tensor([1.]), mean_rank=tensor([2.2500]))
    """
    present = holds.sum(1)
    chosen = best(scores, first)
    hits = holds.gather(1, chosen) & (scores.gather(1, chosen) > 0)
    unknown = torch.full_like(scores[:, 0], torch.nan)
    ranks = (mean_ranks(-scores) * holds).sum(1) / present.clamp(min=1)
    some = present > 0
    return Truthful(
        (hits.sum(1).to(scores) / first).where(some, unknown),
        (present.clamp(max=first).to(scores) / first).where(some, unknown),
        ranks.to(scores).where(some, unknown),
    )
