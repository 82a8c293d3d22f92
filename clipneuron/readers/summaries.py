"""A sweep's summaries as stages over blocks of neurons get them: merged, with the remainders of the top pictures."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from clipneuron.engine.stage import Shard, Upstream
from clipneuron.lens.summaries import Summary
from clipneuron.readers.sweep import NeuronBlock, Part, Remainders, merged, positions, remainders
from clipneuron.store.store import Run


class Merged(Protocol):
    """Where the sweep's summaries are, merged as far as they have been."""

    @property
    def effects(self) -> Upstream:
        """The sweep."""
        ...

    @property
    def swept(self) -> tuple[str, ...]:
        """The sweep's shards."""
        ...

    @property
    def last(self) -> Upstream:
        """The stage that has them."""
        ...

    def top(self, block: NeuronBlock) -> Part:
        """The place of a block's summaries."""
        ...


@dataclass(frozen=True)
class BlockSummary:
    """A block's merged summary with the remainders of its top pictures."""

    block: NeuronBlock
    summary: Summary
    remainders: Remainders
    """Of [neuron, top]."""


@dataclass
class SummaryLoader:
    """Reads a block's summaries and its layer's remainders, which are kept for the layer's other blocks."""

    run: Run
    tree: Merged
    _kept: tuple[int, tuple[Tensor, Remainders]] | None = None

    def load(self, shard: Shard) -> BlockSummary:
        """The block's rows of every summary, merged."""
        block: NeuronBlock = shard.payload
        summary = merged(self.run, block, self.tree.top(block))
        numbers, rows = self._remainders_of(block.layer)
        found = rows.of(positions(numbers, summary.top_images))
        found.coordinates.mul_((summary.top_images >= 0)[..., None])
        return BlockSummary(block, summary, found)

    def _remainders_of(self, layer: int) -> tuple[Tensor, Remainders]:
        if self._kept is None or self._kept[0] != layer:
            self._kept = layer, remainders(self.run, self.tree.effects.name, layer, self.tree.swept)
        return self._kept[1]
