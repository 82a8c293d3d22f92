"""The cost of a sweep of any size, extrapolated from one shard of it: the scale model's figures, and objects."""

import math
from dataclasses import dataclass

from shards import Measured

from clipneuron.config.named import named_recipe
from clipneuron.engine.stage import Named
from clipneuron.operations.sizing.scale import TOP, ScaleModel
from clipneuron.sweep.stages.merge import MergeTree
from clipneuron.sweep.trees import FAN_IN


@dataclass(frozen=True)
class Scale(ScaleModel):
    """A recipe at scale: its measurements, and the figures that everything else follows from."""

    recipe: str
    flops: float
    decode: float
    encoded: float
    later: float
    """The pass `effects` in later waves, in plain forward passes."""
    measured: Measured

    @property
    def shard_size(self) -> int:
        """Pictures per shard, as the recipe has it."""
        return named_recipe(self.recipe, {"images": "-"}).shard_size

    @property
    def name(self) -> str:
        """The architecture."""
        return named_recipe(self.recipe, {"images": "-"}).model

    @property
    def calibrate_forwards(self) -> float:
        """What the first pass costs."""
        return self.measured.calibrate.forwards

    @property
    def effects_forwards(self) -> float:
        """What the second pass costs in later waves, in which most pictures are."""
        return self.later

    @property
    def per_picture(self) -> float:
        """Its norms, and its remainders with all their coordinates."""
        norms = self.measured.effects.sizes["norms"] / self.measured.pictures
        return norms + 4 * sum(2 * paths + 3 for paths in self.measured.paths)

    @property
    def per_top(self) -> float:
        """As on a shard where every neuron has all its top pictures."""
        return self.measured.tops / TOP

    @property
    def per_shard(self) -> float:
        """Sums and histograms of the summaries, and what the first pass leaves."""
        sums = self.measured.effects.sizes["summaries"] - self.measured.tops
        return sums + sum(self.measured.calibrate.sizes.values())

    @property
    def commit_rate(self) -> float:
        """As tables were committed to this disk."""
        effects = self.measured.effects
        return sum(effects.sizes.values()) / effects.commit_seconds

    def merged_objects(self, pictures: int, size: int = 0) -> int:
        """Objects of the tree that merges the summaries."""
        layers, neurons = tuple(range(len(self.measured.paths))), self.measured.neurons
        swept = [str(number) for number in range(self.shards(pictures, size))]
        tree = MergeTree.over(Named("effects"), swept, layers, neurons, 256, FAN_IN)
        blocks = len(layers) * math.ceil(neurons / 256)
        return 2 * sum(level.groups for level in tree.levels) * blocks

    def puts(self, pictures: int, size: int = 0) -> int:
        """Objects written: tables and markers of both passes and of the tree."""
        each = self.measured.calibrate.objects + self.measured.effects.objects
        return self.shards(pictures, size) * each + self.merged_objects(pictures, size)
