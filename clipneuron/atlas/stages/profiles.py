"""profiles: how the effects of every neuron are spread over pictures, directions and later heads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from jaxtyping import Float

from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.lens.effects import SecondOrderLens
from clipneuron.lens.profiles import coarse_histogram, path_shares, scree
from clipneuron.readers.arrow import list_column, neuron_columns, table_of, tensor, unchanging
from clipneuron.readers.lenses import ClipLoader, Lenses
from clipneuron.readers.summaries import BlockSummary, Merged, SummaryLoader
from clipneuron.readers.sweep import MeanEffect, NeuronBlock, mean_effects
from clipneuron.store.store import Run
from clipneuron.tables import registry as tables

Shared = tuple[dict[int, MeanEffect], dict[int, Float[np.ndarray, "neuron embed"]]]
"""The mean effects and the directions, by layer."""


@dataclass(frozen=True, kw_only=True)
class ProfilesStage(Stage):
    """Reads the sweep's summaries of a block of neurons once more, as the directions did."""

    clip: ClipLoader
    lenses: Lenses
    blocks: tuple[NeuronBlock, ...]
    tree: Merged
    means: Upstream
    directions: Upstream
    whole: bool = True
    """Whether the blocks are all neurons of the run."""
    components: int = 10
    """Principal directions whose share of the variance is kept."""
    resources: Resources = Resources()

    kind = "profiles"
    writes = ("neuron_profiles",)
    unit = "neurons"

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The mean effects, the summaries and the directions."""
        return (self.means, self.tree.last, self.directions)

    @property
    def identity(self) -> Mapping[str, object]:
        """How many components; which neurons, where not all."""
        some = {} if self.whole else {"neurons": [block.name for block in self.blocks]}
        return {"components": self.components, **some}

    def shards(self, run: Run) -> Sequence[Shard]:
        """A shard per block of neurons."""
        return [Shard(block.name, block.size, block) for block in self.blocks]

    def loader(self, run: Run) -> SummaryLoader:
        """Reads and merges what the sweep left of a block."""
        return SummaryLoader(run, self.tree)

    def share(self, run: Run) -> Shared:
        """The mean effects, and the directions."""
        rows = run.read(
            self.directions.name, "directions", columns=["layer", "neuron", "direction"]
        ).sort_by([("layer", "ascending"), ("neuron", "ascending")])
        directions = {
            layer: tensor(rows.filter(pc.equal(rows["layer"], layer))["direction"]).numpy()
            for layer in self.lenses.layers
        }
        return mean_effects(run, self.means.name, self.lenses.layers), directions

    def build(self, shared: Shared) -> "ProfilesWorker":
        """A worker with the model's weights."""
        return ProfilesWorker(self.lenses.on(self.clip()), *shared, self.components)


class ProfilesWorker:
    """Looks at one block of neurons after another."""

    def __init__(
        self,
        lenses: dict[int, SecondOrderLens],
        means: dict[int, MeanEffect],
        directions: dict[int, Float[np.ndarray, "neuron embed"]],
        components: int,
    ) -> None:
        self.lenses, self.means = lenses, means
        self.directions, self.components = directions, components

    @torch.inference_mode()
    def process(self, loaded: BlockSummary, advance: Advance) -> Output:
        """The table `neuron_profiles`."""
        block, summary = loaded.block, loaded.summary
        lens, mean = self.lenses[block.layer], self.means[block.layer]
        remainders = mean.in_one_space(loaded.remainders)
        effects = (
            summary.coefficients,
            lens.basis(block.neurons).cpu(),
            remainders,
            mean.basis(lens, remainders.shape[-1]).cpu(),
        )
        own = unchanging(self.directions[block.layer])[block.neurons]
        spread = [coarse_histogram(histogram) for histogram in summary.histogram]
        floats = pa.list_(pa.float32())
        columns = {
            **neuron_columns(block.layer, block.first, block.size),
            "edges": pa.array([edges for edges, _ in spread], floats),
            "counts": pa.array([counts for _, counts in spread], pa.list_(pa.int64())),
            "scree": list_column(scree(*effects, self.components).float(), floats),
            "heads": list_column(path_shares(*effects, own).float(), floats),
        }
        advance(block.size)
        return Output({"neuron_profiles": table_of(columns, tables.schema("neuron_profiles"))})
