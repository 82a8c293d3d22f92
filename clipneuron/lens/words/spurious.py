"""Texts that speak for one class and against another (Sec. 5.1), for many pairs of classes at once.

v = M_text(c2) - M_text(c1) is the class direction of a pair c1:c2. A text that neurons write together with v moves
pictures of c1 towards c2 without being c2: a spurious cue. Everything is vectorised over pairs, and only the
descriptions of the chosen neurons are read: no [neuron, text] matrix is made.
"""

from typing import get_args

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from clipneuron.lens.options import Scoring
from clipneuron.lens.pursuit import STOPPED


def strongest_neurons(
    projections: Float[Tensor, "pair neuron"], count: int
) -> Int[Tensor, "pair chosen"]:
    """The neurons of largest |<v, r_n>|, in descending order; all of them if `count` exceeds their number.

    The neurons may be of any layers, one after another. Ties keep their order.

    >>> import torch
    >>> strongest_neurons(torch.tensor([[0.1, -0.9, 0.4]]), 2)
    tensor([[1, 2]])
    """
    if count < 1:
        raise ValueError(f"count is {count}; expected at least one neuron per pair")
    return projections.abs().sort(dim=1, descending=True, stable=True).indices[:, :count]


def contributions(
    projections: Float[Tensor, "pair neuron"],
    neurons: Int[Tensor, "pair chosen"],
    weights: Float[Tensor, "neuron atom"],
) -> Float[Tensor, "pair chosen atom"]:
    """gamma_j^n <v, r_n>: what each chosen neuron contributes to each text of its description.

    The sign of r_n does not matter, since its weights change sign with it.
    """
    return weights[neurons] * projections.gather(1, neurons)[..., None]


def text_scores(
    given: Float[Tensor, "pair chosen atom"],
    indices: Int[Tensor, "pair chosen atom"],
    texts: int,
    scoring: Scoring = "sum",
) -> Float[Tensor, "pair text"]:
    """The contribution score of each text of the pool, 0 where no chosen neuron's description has it.

    It is positive where the text speaks for c2. `given` are the contributions and `indices` their texts,
    -1 where a description has ended.

    "sum": w_j^v = sum_n gamma_j^n <v, r_n> (Eq. 6).
    "authors": the largest of the summands. The authors' `generate_adversarial_images.py` does not sum:
    it sorts (neuron, text) pairs and drops repeated texts, which gives this order.

    >>> import torch
    >>> text_scores(torch.tensor([[[0.5, -0.2], [0.4, 0.3]]]), torch.tensor([[[2, 0], [0, 2]]]), 3)
    tensor([[0.2000, 0.0000, 0.8000]])
    """
    if scoring not in get_args(Scoring):
        raise ValueError(
            f"unknown scoring {scoring!r} of texts; choose one of {', '.join(get_args(Scoring))}"
        )
    # One extra column collects the entries where descriptions have ended.
    place = indices.where(indices != STOPPED, texts).flatten(1)
    scores = given.new_zeros(len(given), texts + 1)
    if scoring == "sum":
        return scores.scatter_add_(1, place, given.flatten(1))[:, :texts]
    return scores.scatter_reduce_(1, place, given.flatten(1), "amax", include_self=False)[:, :texts]


def cosines(
    directions: Float[Tensor, "pair embed"], texts: Float[Tensor, "text embed"]
) -> Float[Tensor, "pair text"]:
    """How similar each text is to each v: the paper's baseline without neurons. Texts already have unit norm.

    >>> import torch
    >>> cosines(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.6, 0.8], [-1.0, 0.0]]))
    tensor([[ 0.6000, -1.0000]])
    """
    return functional.normalize(directions, dim=1) @ texts.T


def ranked(scores: Float[Tensor, "pair text"]) -> Int[Tensor, "pair text"]:
    """The texts of each pair by descending score; ties keep their order."""
    return scores.sort(dim=1, descending=True, stable=True).indices
