"""Supports of a block of neurons, grown by a text at a time, with least-squares weights at any length."""

import math
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.linalg import vector_norm

from clipneuron.lens.sparse.nonnegative import nonnegative_weights

STOPPED = -1
"""The index that fills a support after a neuron's pursuit has ended early."""

_CACHED = 2**19
"""Numbers of the bases that are gone through at once on a CPU: 2 MB. All at once take up to 1.9 times as long."""


class Support:
    """The chosen texts of a block of neurons as QR factors, T = Q R.

    `basis` holds Q, `upper` R and `coordinates` Qᵀr; `residual` is r - QQᵀr. A neuron that no longer
    grows keeps zero vectors in Q and the identity in R, which makes its remaining weights zero.
    """

    opposite: ClassVar[bool] = True
    """Whether texts that point away from the residual are added too, with negative weights."""

    def __init__(self, directions: Float[Tensor, "neuron embed"], atoms: int) -> None:
        neurons, embed = directions.shape
        self.residual = directions.clone()
        self.growing = torch.ones(neurons, dtype=torch.bool, device=directions.device)
        self.indices = torch.full((neurons, atoms), STOPPED, device=directions.device)
        self.basis = directions.new_zeros(neurons, atoms, embed)
        self.upper = torch.eye(atoms).to(directions).repeat(neurons, 1, 1)
        self.coordinates = directions.new_zeros(neurons, atoms)
        self.residual_norms = vector_norm(directions, dim=1, keepdim=True).repeat(1, atoms)

    def taken(self, step: int) -> Int[Tensor, "neuron {step}"]:
        """The texts chosen in the steps before; of neurons that ended early the last ones are text 0."""
        return self.indices[:, :step].clamp(min=0)

    def grow(self, step: int, index: Tensor, atom: Tensor, worthwhile: Tensor) -> None:
        """Add the texts `index`, whose embeddings are `atom`, to the neurons that are still growing."""
        column, rest = _orthogonalised(atom, self.basis[:, :step])
        height = vector_norm(rest, dim=1)
        self.growing &= worthwhile & (height > _dependence(atom))
        self.indices[:, step] = index.where(self.growing, STOPPED)
        self.upper[:, :step, step] = column.where(self.growing[:, None], 0.0)
        self.upper[:, step, step] = height.where(self.growing, 1.0)
        unit = (rest / height[:, None]).where(self.growing[:, None], 0.0)
        self.basis[:, step] = unit
        self._fit(step, unit)
        self.residual_norms[:, step:] = vector_norm(self.residual, dim=1, keepdim=True)

    def weights(self, length: int) -> Float[Tensor, "neuron length"]:
        """gamma = R⁻¹ Qᵀr, the least-squares coefficients on the first `length` texts."""
        return solved(self.upper[:, :length, :length], self.coordinates[:, :length])

    def conditions(self, length: int) -> Float[Tensor, "neuron"]:
        """The condition number of the first `length` texts, each scaled to unit norm; 1 where none was chosen."""
        upper = self.upper[:, :length, :length].double()
        # The identity in the place of what was not chosen adds singular values of 1, which lie between the others.
        upper = upper / vector_norm(upper, dim=1, keepdim=True)
        squares = torch.linalg.eigvalsh(upper.mT @ upper)
        largest, smallest = squares[:, -1], squares[:, 0]
        least = torch.finfo(squares.dtype).eps * largest
        found: Tensor = (largest / smallest.maximum(least)).sqrt().to(self.upper)
        return found

    def _fit(self, step: int, unit: Tensor) -> None:
        self.coordinates[:, step] = (unit * self.residual).sum(dim=1)
        self.residual -= self.coordinates[:, step, None] * unit


class NonNegativeSupport(Support):
    """The same with weights of at least zero: only texts that the residual points towards are added.

    A text of an earlier step may lose its weight to later ones; it stays in the support with weight 0.
    """

    opposite = False

    def __init__(self, directions: Float[Tensor, "neuron embed"], atoms: int) -> None:
        super().__init__(directions, atoms)
        self._directions = directions

    def weights(self, length: int) -> Float[Tensor, "neuron length"]:
        """The coefficients of non-negative least squares on the first `length` texts."""
        upper = self.upper[:, :length, :length].double()
        target = (self.coordinates[:, None, :length].double() @ upper)[:, 0]
        return nonnegative_weights(upper.mT @ upper, target).to(self.upper)

    def _fit(self, step: int, unit: Tensor) -> None:
        self.coordinates[:, step] = (unit * self._directions).sum(dim=1)
        length = step + 1
        inside = (self.upper[:, :length, :length] @ self.weights(length)[:, :, None]).mT
        self.residual = self._directions - (inside @ self.basis[:, :length])[:, 0]


def solved(upper: Tensor, coordinates: Tensor) -> Tensor:
    """R⁻¹ c of every neuron [neuron, atom]."""
    solution: Tensor = torch.linalg.solve_triangular(upper, coordinates[:, :, None], upper=True)
    return solution[:, :, 0]


def _orthogonalised(atom: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """`atom` in the basis [neuron, step], and the part of it outside [neuron, embed]."""
    if atom.device.type != "cpu":
        return _gram_schmidt(atom, basis)
    neurons = max(1, _CACHED // (basis.shape[1] * basis.shape[2] + 1))
    pairs = zip(torch.split(atom, neurons), torch.split(basis, neurons), strict=True)
    columns, rests = zip(*(_gram_schmidt(*pair) for pair in pairs), strict=True)
    return torch.cat(columns), torch.cat(rests)


def _gram_schmidt(atom: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """The same of some neurons, whose bases are read four times.

    Gram-Schmidt is applied twice: once would lose orthogonality with the square of the condition number,
    and texts are much alike. The product is row vector times matrix, since matrix times column vector takes
    torch twelve times as long.
    """
    column, rest = atom.new_zeros(basis.shape[:2]), atom
    for _ in range(2):
        correction = (rest[:, None] @ basis.mT)[:, 0]
        column = column + correction
        rest = rest - (correction[:, None] @ basis)[:, 0]
    return column, rest


def _dependence(atom: Tensor) -> Tensor:
    """The distance from the span of the support below which a text counts as part of it [neuron]."""
    distance: Tensor = math.sqrt(torch.finfo(atom.dtype).eps) * vector_norm(atom, dim=1)
    return distance
