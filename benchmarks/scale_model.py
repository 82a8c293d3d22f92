"""The cost of a sweep of any size, extrapolated from one shard of it: seconds, cores, bytes, objects."""

import math
from dataclasses import dataclass

from shards import Measured

from clipneuron.config.named import named_recipe
from clipneuron.engine.stage import Named
from clipneuron.sweep.pipeline import FAN_IN
from clipneuron.sweep.stages.merge import MergeTree


@dataclass(frozen=True)
class Scale:
    """A recipe at scale: its measurements, and what follows from them."""

    recipe: str
    flops: float
    decode: float
    encoded: float
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
    def per_picture(self) -> float:
        """Stored bytes that every picture adds: its norms, and its remainders with all their coordinates."""
        norms = self.measured.effects.sizes["norms"] / self.measured.pictures
        return norms + 4 * sum(2 * paths + 3 for paths in self.measured.paths)

    @property
    def per_shard(self) -> float:
        """Stored bytes that every shard adds, however many pictures it has."""
        return self.measured.effects.sizes["summaries"] + sum(
            self.measured.calibrate.sizes.values()
        )

    @property
    def commit_rate(self) -> float:
        """Bytes per second and core: tables made into Parquet, hashed and written to this disk."""
        effects = self.measured.effects
        return sum(effects.sizes.values()) / effects.commit_seconds

    def shards(self, pictures: int, size: int = 0) -> int:
        """Shards of a collection."""
        return math.ceil(pictures / (size or self.shard_size))

    def pass_seconds(self, rate: float) -> tuple[float, float]:
        """GPU seconds per picture of both passes."""
        return self.measured.calibrate.forwards / rate, self.measured.effects.forwards / rate

    def cores(self, rate: float) -> tuple[float, float, float]:
        """Cores that keep one GPU busy: decoding in either pass, and commits in the second."""
        calibrate, effects = self.pass_seconds(rate)
        written = self.per_picture + self.per_shard / self.shard_size
        return self.decode / calibrate, self.decode / effects, written / self.commit_rate / effects

    def hours(self, pictures: int, gpus: int, rate: float) -> float:
        """Until the busiest GPU has done both passes over its shards."""
        most = math.ceil(self.shards(pictures) / gpus) * self.shard_size
        return min(most, pictures) * sum(self.pass_seconds(rate)) / 3600

    def core_hours(self, pictures: int) -> float:
        """Decoding twice and committing once, on one core."""
        return (2 * self.decode * pictures + self.written(pictures) / self.commit_rate) / 3600

    def merged(self, pictures: int, size: int = 0) -> tuple[float, int]:
        """Bytes and objects of the tree that merges the summaries."""
        layers, neurons = tuple(range(len(self.measured.paths))), self.measured.neurons
        swept = [str(number) for number in range(self.shards(pictures, size))]
        tree = MergeTree.over(Named("effects"), swept, layers, neurons, 256, FAN_IN)
        groups = sum(level.groups for level in tree.levels)
        blocks = len(layers) * math.ceil(neurons / 256)
        return groups * float(self.measured.effects.sizes["summaries"]), 2 * groups * blocks

    def puts(self, pictures: int, size: int = 0) -> int:
        """Objects written: tables and markers of both passes and of the tree."""
        each = self.measured.calibrate.objects + self.measured.effects.objects
        return self.shards(pictures, size) * each + self.merged(pictures, size)[1]

    def written(self, pictures: int, size: int = 0) -> float:
        """Bytes written."""
        once = self.shards(pictures, size) * self.per_shard + self.merged(pictures, size)[0]
        return pictures * self.per_picture + once
