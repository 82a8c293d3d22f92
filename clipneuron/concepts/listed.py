"""The best concepts of a batch of pictures, with the neurons that give most to each: flat arrays, ready for a table."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from clipneuron.concepts.finder import Found
from clipneuron.config.concepts import Method
from clipneuron.lens.words.concepts import Behind, behind, best

Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Listed:
    """The concepts of one method, an entry each; by picture, then by rank."""

    method: Method
    picture: Whole
    """Its place in the batch."""
    rank: Whole
    text: Whole
    """Its number in the pool; -1, with rank -1, where the method names nothing in the picture."""
    score: NDArray[np.float32]
    counts: Whole
    """How many neurons are kept of each; none for methods without neurons."""
    neurons: Whole
    """These neurons, concept after concept, counted over all layers of the search."""
    amounts: NDArray[np.float32]
    """What each of them gives."""

    def columns(self, layers: tuple[int, ...], neurons: int) -> dict[str, pa.Array]:
        """The columns of `picture_concepts` that are about concepts, but for their texts; a layer has `neurons`."""
        offsets = np.concatenate([[0], np.cumsum(self.counts)]).astype(np.int32)
        numbers = np.array(layers, np.int16)
        given = {
            "layers": numbers[self.neurons // neurons],
            "neurons": (self.neurons % neurons).astype(np.int32),
            "given": self.amounts,
        }
        lists = {
            name: pa.ListArray.from_arrays(offsets, pa.array(values))
            for name, values in given.items()
        }
        nothing = self.text < 0
        return {
            "method": pa.array([self.method] * len(self.text), pa.string()),
            "rank": pa.array(self.rank.astype(np.int16), mask=nothing),
            "text_index": pa.array(self.text.astype(np.int32), mask=nothing),
            "score": pa.array(self.score, mask=nothing),
            **lists,
        }


def listed(found: Found, count: int, strongest: int) -> Iterator[Listed]:
    """The `count` best concepts with a score above 0 of each picture and method, each with its `strongest` neurons."""
    for method, scores in found.scores.items():
        concepts = best(scores, count)
        values = scores.gather(1, concepts)
        entries = found.given.get(method)
        sources = behind(entries, concepts, scores.shape[1]) if entries else None
        yield _of_method(method, concepts.cpu(), values.cpu(), sources, strongest)


def _of_method(
    method: Method, concepts: Tensor, values: Tensor, sources: Behind | None, strongest: int
) -> Listed:
    images, places = concepts.shape
    kept = values > 0
    # A picture in which nothing is named has one entry that says so.
    nothing = ~kept.any(dim=1)
    shown = kept.clone()
    shown[:, 0] |= nothing
    picture, rank = shown.nonzero(as_tuple=True)
    empty = nothing[picture]
    counts = torch.zeros(images * places, dtype=torch.long)
    neurons, amounts = counts[:0], values.new_zeros(0)
    if sources is not None:
        key = (sources.image * places + sources.place).cpu()
        place = torch.arange(len(key)) - torch.searchsorted(key, key)
        used = (place < strongest) & kept.flatten()[key]
        counts = counts.index_add(0, key[used], torch.ones_like(key[used]))
        neurons, amounts = sources.neuron.cpu()[used], sources.amount.cpu()[used]
    return Listed(
        method,
        picture.numpy(),
        rank.where(~empty, -1).numpy(),
        concepts[picture, rank].where(~empty, -1).numpy(),
        values[picture, rank].float().numpy(),
        counts.view(images, places)[picture, rank].numpy(),
        neurons.numpy(),
        amounts.float().numpy(),
    )
