"""The scale model of docs/scale.md: what a sweep of any size takes, from a few figures per model.

`benchmarks/scale.py` measures the figures and prints the tables of that page by the same arithmetic.
"""

from dataclasses import dataclass
from math import ceil

from clipneuron.sweep.trees import groups
from clipneuron.sweep.waves import kept, sizes

TOP = 100
"""Pictures that are kept of a neuron, as in the paper."""


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
    per_top: float
    """Stored bytes of a top picture of every neuron, in the summaries."""
    commit_rate: float
    """Bytes per second and core that are made into Parquet, hashed and written."""

    def shards(self, pictures: int, size: int = 0) -> int:
        """Shards of a collection."""
        return ceil(pictures / (size or self.shard_size))

    def pass_seconds(self, rate: float) -> tuple[float, float]:
        """GPU seconds per picture of both passes, at so many forward passes per second."""
        return self.calibrate_forwards / rate, self.effects_forwards / rate

    def cores(self, rate: float, pictures: int, size: int = 0) -> tuple[float, float, float]:
        """Cores that keep one GPU busy: decoding in either pass, and commits in the second."""
        calibrate, effects = self.pass_seconds(rate)
        each = self.swept(pictures, size) / pictures
        return self.decode / calibrate, self.decode / effects, each / self.commit_rate / effects

    def hours(
        self, pictures: int, gpus: int, rate: float, size: int = 0, calibrated: int = 0
    ) -> float:
        """Until the busiest GPU has done both passes over its shards; the first over `calibrated` pictures, 0: all.

        In the second, all GPUs wait for the end of each wave (`clipneuron.sweep.waves`).
        """
        calibrate, effects = self.pass_seconds(rate)
        size, first = size or self.shard_size, calibrated or pictures
        once = min(first, ceil(self.shards(first, size) / gpus) * size)
        rounds = sum(ceil(shards / gpus) for shards in sizes(pictures, size))
        return (once * calibrate + min(pictures, rounds * size) * effects) / 3600

    def core_hours(self, pictures: int, size: int = 0, calibrated: int = 0) -> float:
        """Decoding in both passes and committing once, on one core."""
        written = self.written(pictures, size) / self.commit_rate
        return (self.decode * ((calibrated or pictures) + pictures) + written) / 3600

    def tops(self, pictures: int, size: int = 0) -> float:
        """Bytes of the top pictures that shards keep, by expectation; see `clipneuron.sweep.waves`."""
        return kept(pictures, self.shards(pictures, size), TOP) * self.per_top

    def merged(self, pictures: int, size: int = 0) -> float:
        """Bytes of the tree that merges the summaries, at most."""
        return sum(groups(self.shards(pictures, size))) * TOP * self.per_top

    def swept(self, pictures: int, size: int = 0) -> float:
        """Bytes that both passes write."""
        shards = self.shards(pictures, size) * self.per_shard
        return pictures * self.per_picture + shards + self.tops(pictures, size)

    def written(self, pictures: int, size: int = 0) -> float:
        """Bytes written, merged ones included."""
        return self.swept(pictures, size) + self.merged(pictures, size)


@dataclass(frozen=True)
class Figures(ScaleModel):
    """A model's figures, as docs/scale.md has them."""

    shard_size: int
    decode: float
    calibrate_forwards: float
    effects_forwards: float
    per_picture: float
    per_shard: float
    per_top: float
    commit_rate: float


MODELS = {
    "ViT-B-32": Figures(2048, 3.85e-3, 1.14, 1.17, 116e3, 21e6, 7.67e6, 74e6),
    "ViT-L-14": Figures(2048, 4.27e-3, 1.25, 1.26, 343e3, 130e6, 58.3e6, 67e6),
}
"""Measured on a CPU by `benchmarks/scale.py`, November 2026: all layers, `effects` as in later waves."""

GPUS = {
    "RTX-4090": {"ViT-B-32": 8389.0, "ViT-L-14": 658.0},
    "A100": {"ViT-B-32": 8877.0, "ViT-L-14": 483.0},
}
"""Forward passes per second in half precision and large batches; sources in docs/scale.md."""
