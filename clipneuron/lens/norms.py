"""Norms of effects from products that are made once per neuron: no effect is formed.

An effect is s u + r: coefficients s along the paths' vectors u, and the remainder r that all neurons of a layer share.

    |s u + r|^2 = s G s^T + 2 s . d + |r|^2,    G = u u^T,    d_path = u_path . r

G is symmetric: of two of its entries one is held, doubled, in steps of some paths. What a path can write are the few
channels of its head, so d takes as many multiply-adds per path, from u and r in an orthonormal basis of what that head
can write; r may have hundreds of coordinates.

Half the memory: with t = s |u|, path by path, what is held are cosines, in float16, each with an error of at most
2^-12. Errors of a path's many cosines have either sign and nearly cancel; lengths, and with them G's diagonal, stay in
float32. Products are taken in float32 either way, block by block.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

MADE = 256
"""Neurons whose products are made at a time."""

STEP = 48
"""Paths per step of G. The smaller, the less is multiplied twice, and the smaller are the products."""


@dataclass(frozen=True)
class NormProducts:
    """What the norms of one layer's effects take of its neurons.

    gram: G's rows of each step of paths, with themselves and, doubled, with all later ones.
    heads: u in its head's basis; no channel where there is no remainder.
    remainder: the remainder's basis in the same bases.
    lengths: |u| where the others are those of u / |u| in float16, and G's diagonal of ones is left out; else None.
    """

    gram: tuple[Float[Tensor, "neuron _ _"], ...]
    heads: Float[Tensor, "neuron path channel"]
    remainder: Float[Tensor, "path channel coordinate"]
    lengths: Float[Tensor, "neuron path"] | None

    @classmethod
    def of(
        cls,
        basis: Callable[[slice], Float[Tensor, "some path embed"]],
        neurons: int,
        write: Float[Tensor, "path channel embed"],
        remainder: Float[Tensor, "coordinate embed"],
        half: bool,
    ) -> "NormProducts":
        """From where neurons, heads and the remainder's coordinates land in the joint space; MADE neurons at a time."""
        paths = len(write)
        spans = _spans(write) if len(remainder) else write.new_empty(paths, write.shape[2], 0)
        room = partial(write.new_empty, dtype=torch.float16 if half else write.dtype)
        later = range(paths, 0, -STEP)
        made = cls(
            tuple(room((neurons, min(STEP, left), left)) for left in later),
            room((neurons, paths, spans.shape[2])),
            (remainder @ spans).mT,
            write.new_empty(neurons, paths) if half else None,
        )
        for first in range(0, neurons, MADE):
            block = slice(first, first + MADE)
            made._fill(block, basis(block), spans)
        return made

    def _fill(
        self,
        block: slice,
        vectors: Float[Tensor, "some path embed"],
        spans: Float[Tensor, "path embed channel"],
    ) -> None:
        """Products of a block of neurons, from u."""
        if self.lengths is not None:
            self.lengths[block] = vectors.norm(dim=2)
            least = torch.finfo(vectors.dtype).tiny
            vectors = vectors / self.lengths[block, :, None].clamp(min=least)
        for number, held in enumerate(self.gram):
            held[block] = _later(vectors, number * STEP, without_ones=self.lengths is not None)
        self.heads[block] = (vectors.transpose(0, 1) @ spans).transpose(0, 1)

    def along(
        self, remainders: Float[Tensor, "image coordinate"]
    ) -> Float[Tensor, "path channel image"]:
        """Twice the remainders, in each head's basis."""
        return self.remainder @ (2 * remainders.T)

    def squares(
        self,
        block: slice,
        coefficients: Float[Tensor, "image some path"],
        along: Float[Tensor, "path channel image"],
    ) -> Float[Tensor, "image some"]:
        """|s u + r|^2 - |r|^2 of a block of neurons, from their coefficients and what `along` gives."""
        if self.lengths is not None:
            coefficients = coefficients * self.lengths[block]
        mine = coefficients.transpose(0, 1)
        products = self._crossed(block, along) if along.shape[1] else None
        for number, held in enumerate(self.gram):
            start, rows = number * STEP, held[block].to(mine)
            own = mine[..., start : start + held.shape[1]]
            if products is None:
                products = own @ rows
            else:
                products[..., start:].baddbmm_(own, rows)
        assert products is not None  # a layer without a path is refused
        if self.lengths is not None:
            products += mine
        return products.mul_(mine).sum(-1).T

    def _crossed(
        self, block: slice, along: Float[Tensor, "path channel image"]
    ) -> Float[Tensor, "some image path"]:
        """2 d. Transposed as a matrix, which is several times as fast as axis by axis."""
        found = self.heads[block].to(along).transpose(0, 1) @ along
        paths, neurons, images = found.shape
        return found.view(paths, -1).T.contiguous().view(neurons, images, paths)


def _spans(
    write: Float[Tensor, "path channel embed"],
) -> Float[Tensor, "path embed channel"]:
    """An orthonormal basis of what each head can write; lengths keep, and halves have units to round."""
    found: Tensor = torch.linalg.qr(write.mT)[0]
    return found


def _later(
    vectors: Float[Tensor, "some path embed"], start: int, without_ones: bool
) -> Float[Tensor, "some step later"]:
    """Products of a step of paths with itself and, doubled, with all later paths."""
    own = vectors[:, start : start + STEP]
    found = own @ vectors[:, start:].mT
    found[..., own.shape[1] :] *= 2
    if without_ones:
        found.diagonal(dim1=1, dim2=2).zero_()
    return found
