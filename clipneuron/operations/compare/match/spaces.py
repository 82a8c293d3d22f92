"""Whether the directions of two runs live in one space: only then has a cosine between them a meaning."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clipneuron.operations.compare.arrays import matrix, unit
from clipneuron.operations.compare.sides import Side

SAME = 0.8
"""The median cosine of the same text in both spaces from which on they count as one.

A model that was trained on has its texts near where they were; towers trained apart are turned against each other, and
their cosines lie around 0.
"""
_STILL = 0.999
_MOST = 2000


class Spaces(NamedTuple):
    """Whether the joint spaces agree, and why we think so, in a sentence."""

    agree: bool
    why: str
    moved: bool = False
    """Whether the texts have moved noticeably, though not far."""


def joint_spaces(a: Side, b: Side) -> Spaces:
    """By the model's digest, else by the embeddings of the texts that both runs have; raises StoreError."""
    if (model := a.run.identity.get("model")) and model == b.run.identity.get("model"):
        return Spaces(True, "both runs are of the same model")
    widths = [_width(side) for side in (a, b)]
    if widths[0] != widths[1]:
        return Spaces(False, f"directions have {widths[0]} dimensions in A and {widths[1]} in B")
    texts = [_texts(side) for side in (a, b)]
    if texts[0] is None or texts[1] is None:
        return Spaces(True, "not checked, since a run has no encoded texts: taken to be one space")
    return _judged(texts[0], texts[1])


def _judged(one: pa.Table, other: pa.Table) -> Spaces:
    place = pc.index_in(one["text"], other["text"].combine_chunks())
    known = np.flatnonzero(place.is_valid().to_numpy())[:_MOST]
    if not len(known):
        return Spaces(True, "not checked, since no text is in both pools: taken to be one space")
    rows = place.take(pa.array(known))
    left, right = (
        unit(matrix(table["embedding"].take(chosen)))
        for table, chosen in ((one, pa.array(known)), (other, rows))
    )
    cosine = float(np.median((left * right).sum(1)))
    said = f"the median cosine of {len(known):,} texts between both models is {cosine:.3f}"
    return Spaces(cosine >= SAME, said, cosine < _STILL)


def _texts(side: Side) -> pa.Table | None:
    try:
        stage = side.run.stage("texts")
    except ValueError:  # a run whose stages have no kinds on record
        return None
    if not side.run.done(stage):
        return None
    return side.run.read(stage, "text_embeddings", columns=["text", "embedding"])


def _width(side: Side) -> int:
    layer = side.layers[0]
    shard = side.neurons.shards[layer][:1]
    rows = side.run.read(side.results.directions, "directions", shards=shard, columns=["direction"])
    return len(rows["direction"][0])
