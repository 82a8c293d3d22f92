"""Many maps judged by masks under many protocols, with no more pixels in memory than it takes."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clipneuron.config.values.protocols import Protocol, Text
from clipneuron.lens.options import Alignment
from clipneuron.lens.scores import segmentation as lens
from clipneuron.readers.arrow import unchanging
from clipneuron.readers.masks import Framed

_VALUES = 2**24
"""Pixels of maps that are held at a time."""

Flags = Bool[Tensor, "pair height width"]


class Judged(NamedTuple):
    """What maps come to under a protocol: counts of pixels and scores, as the table `segmentations` has them."""

    tp: Int[Tensor, "method pair"]
    fp: Int[Tensor, "method pair"]
    fn: Int[Tensor, "method pair"]
    tn: Int[Tensor, "method pair"]
    ap: Float[Tensor, "method pair"]
    ap_sides: Float[Tensor, "method pair"]
    f1: Float[Tensor, "method pair"]
    cut: Float[Tensor, "method pair"]


class Places(NamedTuple):
    """Where what belongs to some pairs is found."""

    rows: Int[Tensor, "pair"]
    """Their masks among all of the shard."""
    pictures: Int[Tensor, "pair"]
    maps: Mapping[Text, Int[Tensor, "pair"]]
    """Their maps, for each kind of text."""

    def block(self, first: int, size: int) -> "Places":
        """Those of some pairs in a row."""
        own = slice(first, first + size)
        maps = {text: places[own] for text, places in self.maps.items()}
        return Places(self.rows[own], self.pictures[own], maps)


def judged(
    maps: Float[Tensor, "method map patch"],
    grid: tuple[int, int],
    places: Places,
    framed: Mapping[Alignment, Framed],
    protocols: Sequence[Protocol],
) -> list[Judged]:
    """What the maps of all pairs come to under each protocol."""
    height, width = next(iter(framed.values())).known.shape[1:]
    size = max(1, _VALUES // (len(maps) * height * width))
    blocks = [
        _block(maps, grid, places.block(first, size), framed, protocols)
        for first in range(0, len(places.rows), size)
    ]
    return [
        Judged(*(torch.cat(part, dim=1) for part in zip(*parts, strict=True)))
        for parts in zip(*blocks, strict=True)
    ]


def _block(
    maps: Tensor,
    grid: tuple[int, int],
    places: Places,
    framed: Mapping[Alignment, Framed],
    protocols: Sequence[Protocol],
) -> list[Judged]:
    """The same for few pairs; pixels and rankings that protocols have in common are computed once."""
    truths = {
        alignment: (_flags(own.fronts, places.rows), _flags(own.known, places.pictures))
        for alignment, own in framed.items()
    }
    height, width = next(iter(truths.values()))[0].shape[1:]
    found: dict[Protocol, Judged] = {}
    for text, upsampling in dict.fromkeys((each.text, each.upsampling) for each in protocols):
        own = lens.upsampled(maps[:, places.maps[text]], grid, (height, width), upsampling)
        pixels = lens.normalised(own)
        for alignment, flags in truths.items():
            asked = [
                each
                for each in protocols
                if (each.text, each.upsampling, each.alignment) == (text, upsampling, alignment)
            ]
            if asked:
                found |= _under(asked, pixels, *flags)
    return [found[protocol] for protocol in protocols]


def _under(
    protocols: Sequence[Protocol], pixels: Tensor, front: Flags, known: Flags
) -> dict[Protocol, Judged]:
    """Of protocols that differ by their threshold alone."""
    front, known = front.expand(pixels.shape), known.expand(pixels.shape)
    precisions = lens.average_precisions(pixels, front, known)
    found = {}
    for protocol in protocols:
        cut = lens.thresholds(pixels, front, known, protocol.threshold)
        counts = lens.counts(pixels, front, known, cut)
        scores = (*precisions, lens.f1_scores(counts), cut)
        whole = (each.long() for each in counts)
        found[protocol] = Judged(*whole, *(each.float() for each in scores))
    return found


def _flags(values: Bool[np.ndarray, "row height width"], rows: Tensor) -> Tensor:
    return unchanging(values)[rows]
