"""Norms and top coefficients from half the memory: what is large is held in float16, what decides is not.

With t = s |u|, path by path, |s u + k Q|^2 = |t|^2 + t R' t + 2 t C k + |k|^2, where R' are the cosines of the paths'
vectors without its diagonal of ones, and C those of the paths' vectors and the remainder's axes Q. Only R' and C are
held in float16, each with an error of at most 2^-12; errors of a path's many cosines have either sign and nearly
cancel, while lengths, and with them the diagonal, stay in float32. Products are taken in float32, block by block. R' is
symmetric: of two cosines one is held, doubled, but for blocks on the diagonal.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from clipneuron.lens.summaries import Collector

BLOCK = 256
"""Neurons whose numbers are in float32 at a time."""

CROSS_AXES = 64
"""Axes of the remainder, those with the most variance, along which its products with the neurons' own part count."""

STEP = 64
"""Paths per block of the cosines."""


@dataclass(frozen=True)
class HalfNorms:
    """The norms of one layer's effects, without its Gram matrices.

    lengths: |u| in float32.
    cosines: for each block of paths, their cosines with themselves and all later ones, in float16.
    cross: cosines of the remainder's last axes, those with the most variance, and the paths, in float16.
    """

    lengths: Float[Tensor, "neuron path"]
    cosines: tuple[Float[Tensor, "neuron _ _"], ...]
    cross: Float[Tensor, "neuron coordinate path"]

    @classmethod
    def of(
        cls,
        basis: Callable[[slice], Float[Tensor, "neuron path embed"]],
        neurons: int,
        paths: int,
        remainder: Float[Tensor, "coordinate embed"],
    ) -> "HalfNorms":
        """From where paths and coordinates land in the joint space; BLOCK neurons at a time."""
        halves, device = torch.float16, remainder.device
        starts = range(0, paths, STEP)
        lengths = remainder.new_empty(neurons, paths)
        steps = [(min(STEP, paths - start), paths - start) for start in starts]
        cosines = tuple(torch.empty(neurons, *step, dtype=halves, device=device) for step in steps)
        cross = torch.empty(neurons, len(remainder), paths, dtype=halves, device=device)
        for first in range(0, neurons, BLOCK):
            block = slice(first, min(first + BLOCK, neurons))
            vectors = basis(block)
            lengths[block] = vectors.norm(dim=2)
            units = vectors / lengths[block, :, None].clamp(min=torch.finfo(lengths.dtype).tiny)
            for start, held in zip(starts, cosines, strict=True):
                held[block] = _later(units, start)
            cross[block] = remainder @ units.mT
        return cls(lengths, cosines, cross)

    def norms_of(
        self,
        coefficients: Float[Tensor, "image neuron path"],
        remainders: Float[Tensor, "image coordinate"],
    ) -> Float[Tensor, "image neuron"]:
        """As `SecondOrderLens.norms_of`, up to the rounding of the cosines.

        Where `cross` has fewer coordinates than `remainders`, they are the last ones.
        """
        squares = coefficients.new_empty(coefficients.shape[:2])
        leading = remainders[:, remainders.shape[1] - self.cross.shape[1] :]
        for first in range(0, len(self.lengths), BLOCK):
            block = slice(first, first + BLOCK)
            mine = (coefficients[:, block] * self.lengths[block]).transpose(0, 1)
            products = mine.clone()
            if leading.shape[1]:
                left = leading.expand(len(mine), -1, -1)
                products.baddbmm_(left, self.cross[block].to(mine), alpha=2)
            for number, held in enumerate(self.cosines):
                start = number * STEP
                own = mine[..., start : start + held.shape[1]]
                products[..., start:].baddbmm_(own, held[block].to(mine))
            squares[:, block] = products.mul_(mine).sum(-1).T
        squares += remainders.square().sum(-1, keepdim=True)
        return squares.clamp_(min=0).sqrt_()


def _later(
    units: Float[Tensor, "neuron path embed"], start: int
) -> Float[Tensor, "neuron step later"]:
    """Cosines of a block of paths with itself, without the ones, and, doubled, with all later paths."""
    own = units[:, start : start + STEP]
    found = own @ units[:, start:].mT
    found[..., own.shape[1] :] *= 2
    found.diagonal(dim1=1, dim2=2).zero_()
    return found


class HalfCollector(Collector):
    """A `Collector` that holds coefficients in float16, each effect's as shares of its largest one, in float32."""

    def _places(
        self, neurons: int, top: int, paths: int, device: torch.device | str
    ) -> Float[Tensor, "neuron top path"]:
        self._largest = torch.zeros(neurons, top, 1, device=device)
        return torch.zeros(neurons, top, paths, dtype=torch.float16, device=device)

    def _keep(
        self,
        places: tuple[Int[Tensor, "entry"], Int[Tensor, "entry"]],
        rows: Float[Tensor, "entry path"],
    ) -> None:
        largest = rows.abs().amax(1, keepdim=True)
        self._largest[places] = largest
        self._coefficients[places] = (rows / largest.clamp(min=torch.finfo(rows.dtype).tiny)).half()

    def _kept(self) -> Float[Tensor, "neuron top path"]:
        return self._coefficients.float().mul_(self._largest)
