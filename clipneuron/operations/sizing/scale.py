"""The scale model of docs/scale.md: what a sweep of any size takes, from a few figures per model.

`benchmarks/scale.py` measures the figures and prints the tables of that page by the same arithmetic.
"""

from dataclasses import dataclass
from math import ceil

from clipneuron.sweep.trees import groups


class ScaleModel:
    """What follows from the figures of a model; where they come from is left to who derives from this."""

    shard_size: int
    """Pictures per shard, as the recipe has it."""
    decode: float
    """Seconds of a core to read, resize and crop a picture."""
    calibrate_forwards: float
    """What the pass `calibrate` costs per picture, in plain forward passes of the model."""
    effects_forwards: float
    per_picture: float
    """Stored bytes that every picture adds."""
    per_shard: float
    """Stored bytes that every shard adds, however many pictures it has."""
    summaries: float
    """Of these, the summaries, which are merged in a tree."""
    commit_rate: float
    """Bytes per second and core that are made into Parquet, hashed and written."""

    def shards(self, pictures: int, size: int = 0) -> int:
        """Shards of a collection."""
        return ceil(pictures / (size or self.shard_size))

    def pass_seconds(self, rate: float) -> tuple[float, float]:
        """GPU seconds per picture of both passes, at so many forward passes per second."""
        return self.calibrate_forwards / rate, self.effects_forwards / rate

    def cores(self, rate: float, size: int = 0) -> tuple[float, float, float]:
        """Cores that keep one GPU busy: decoding in either pass, and commits in the second."""
        calibrate, effects = self.pass_seconds(rate)
        written = self.per_picture + self.per_shard / (size or self.shard_size)
        return self.decode / calibrate, self.decode / effects, written / self.commit_rate / effects

    def hours(self, pictures: int, gpus: int, rate: float, size: int = 0) -> float:
        """Until the busiest GPU has done both passes over its shards."""
        most = ceil(self.shards(pictures, size) / gpus) * (size or self.shard_size)
        return min(most, pictures) * sum(self.pass_seconds(rate)) / 3600

    def core_hours(self, pictures: int, size: int = 0) -> float:
        """Decoding twice and committing once, on one core."""
        written = self.written(pictures, size) / self.commit_rate
        return (2 * self.decode * pictures + written) / 3600

    def merged(self, pictures: int, size: int = 0) -> float:
        """Bytes of the tree that merges the summaries."""
        return sum(groups(self.shards(pictures, size))) * self.summaries

    def written(self, pictures: int, size: int = 0) -> float:
        """Bytes written."""
        once = self.shards(pictures, size) * self.per_shard + self.merged(pictures, size)
        return pictures * self.per_picture + once


@dataclass(frozen=True)
class Figures(ScaleModel):
    """A model's figures, as docs/scale.md has them."""

    shard_size: int
    decode: float
    calibrate_forwards: float
    effects_forwards: float
    per_picture: float
    per_shard: float
    summaries: float
    commit_rate: float


MODELS = {
    "ViT-B-32": Figures(2048, 5.5e-3, 1.00, 1.85, 127e3, 911e6, 891e6, 108e6),
    "ViT-L-14": Figures(2048, 5.3e-3, 0.98, 1.15, 107e3, 705e6, 693e6, 94e6),
}
"""Measured on a CPU by `benchmarks/scale.py`, November 2026: all layers of ViT-B-32, layers 16 to 22 of ViT-L-14."""

GPUS = {
    "RTX-4090": {"ViT-B-32": 8389.0, "ViT-L-14": 658.0},
    "A100": {"ViT-B-32": 8877.0, "ViT-L-14": 483.0},
}
"""Forward passes per second in half precision and large batches; sources in docs/scale.md."""
