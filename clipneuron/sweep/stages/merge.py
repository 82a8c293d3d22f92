"""merge: one level of the tree that merges the sweep's summaries, so that no task reads every shard of a large run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clipneuron.engine.stage import Advance, Named, Output, Resources, Shard, Stage, Upstream
from clipneuron.lens.summaries import Summary
from clipneuron.readers.sweep import NeuronBlock, Part, grown, merged, neuron_blocks, summary_table
from clipneuron.store.store import Run


@dataclass(frozen=True)
class MergeStage(Stage):
    """Merges up to `fan_in` summaries of each block of neurons into one.

    `count` is the number of summaries below: of shards of the sweep (`swept`) at the first level, of groups of the
    level before at the others.
    """

    level: int
    below: Upstream
    swept: tuple[str, ...]
    count: int
    layers: tuple[int, ...]
    neurons: int
    block: int
    fan_in: int
    parts: int = 1
    """Parts of the plan that the summaries are of."""
    resources: Resources = Resources()

    writes = ("summaries",)
    unit = "neurons"

    @property
    def kind(self) -> str:
        """merge-1 at the first level."""
        return f"merge-{self.level}"

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The sweep, or the level before."""
        return (self.below,)

    @property
    def identity(self) -> Mapping[str, object]:
        """Nothing before the collection has grown; then how many parts of the plan there are."""
        return grown(self.parts)

    @property
    def groups(self) -> int:
        """Summaries that are left of each block."""
        return -(-self.count // self.fan_in)

    def part(self, block: NeuronBlock) -> Part:
        """Where the next level finds what is left of a block."""
        return Part(self.name, tuple(_name(block, group) for group in range(self.groups)))

    def shards(self, run: Run) -> Sequence[Shard]:
        """A shard per block of neurons and group."""
        blocks = neuron_blocks(self.layers, self.neurons, self.block)
        return [
            Shard(_name(block, group), block.size, (block, self._group(block, group)))
            for block in blocks
            for group in range(self.groups)
        ]

    def loader(self, run: Run) -> "MergeLoader":
        """Reads and merges."""
        return MergeLoader(run)

    def share(self, run: Run) -> None:
        """Nothing."""

    def build(self, shared: None) -> "MergeWorker":
        """A worker that writes down what was merged while it was read."""
        return MergeWorker()

    def _group(self, block: NeuronBlock, group: int) -> Part:
        numbers = range(self.count)[group * self.fan_in : (group + 1) * self.fan_in]
        first = self.level == 1
        return Part(
            self.below.name, tuple(self.swept[n] if first else _name(block, n) for n in numbers)
        )


@dataclass(frozen=True)
class MergeLoader:
    """Reads summaries one after another and keeps their merger only."""

    run: Run

    def load(self, shard: Shard) -> tuple[NeuronBlock, Summary]:
        """The block, and what the shards below know of it together."""
        block, source = shard.payload
        return block, merged(self.run, block, source)


class MergeWorker:
    """Makes tables of merged summaries."""

    def process(self, loaded: tuple[NeuronBlock, Summary], advance: Advance) -> Output:
        """The table `summaries` of one block."""
        block, summary = loaded
        advance(block.size)
        return Output({"summaries": summary_table(block.layer, block.first, summary)})


@dataclass(frozen=True)
class MergeTree:
    """The levels over the shards of a sweep, and where the top is read."""

    effects: Upstream
    levels: tuple[MergeStage, ...]
    swept: tuple[str, ...]

    @classmethod
    def over(
        cls,
        effects: Upstream,
        swept: Sequence[str],
        layers: tuple[int, ...],
        neurons: int,
        block: int,
        fan_in: int,
        parts: int = 1,
    ) -> "MergeTree":
        """As many levels as leave at most `fan_in` summaries of a block; none for a small sweep."""
        levels: list[MergeStage] = []
        below, count = effects, len(swept)
        while count > fan_in:
            shape = (count, layers, neurons, block, fan_in, parts)
            level = MergeStage(len(levels) + 1, below, tuple(swept), *shape)
            levels.append(level)
            below, count = level, level.groups
        return cls(effects, tuple(levels), tuple(swept))

    def __getstate__(self) -> dict[str, object]:
        """The fields, with the sweep by its name: it would bring its model along."""
        return {**vars(self), "effects": Named(self.effects.name)}

    @property
    def last(self) -> Upstream:
        """The stage that has what is left of every block."""
        return self.levels[-1] if self.levels else self.effects

    def top(self, block: NeuronBlock) -> Part:
        """Where to read what is left of a block."""
        return self.levels[-1].part(block) if self.levels else Part(self.effects.name, self.swept)


def _name(block: NeuronBlock, group: int) -> str:
    return f"{block.name}-group-{group:05d}"
