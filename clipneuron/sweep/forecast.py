"""What a sweep will take and leave: rows by its shapes, bytes and seconds from a few pictures of its own."""

import io
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import ceil

from clipneuron.engine.measure import Measured, measure
from clipneuron.engine.runner import Runner
from clipneuron.reports.consoles import Console
from clipneuron.store.store import Failure, Store
from clipneuron.sweep.inputs import thinned
from clipneuron.sweep.notes import picture_notes
from clipneuron.sweep.pipeline import FAN_IN, Sweep

_PASSES = ("calibrate", "effects")


@dataclass(frozen=True)
class Sample:
    """What a shard of a few pictures cost in this process."""

    pictures: int
    passes: dict[str, Measured]
    failed: tuple[Failure, ...] = ()
    """The pictures that could not be used."""
    notes: tuple[str, ...] = ()
    """What is to be said of the others, as of the run's pictures at its end."""

    @property
    def is_measured(self) -> bool:
        """Whether any picture could be used, so that both passes were run."""
        return len(self.passes) == len(_PASSES)

    @property
    def failed_share(self) -> float:
        """The share of its pictures that could not be used."""
        return len(self.failed) / self.pictures

    @property
    def load(self) -> float:
        """Seconds to read and decode a picture."""
        return sum(item.load / item.rows for item in self.passes.values()) / len(self.passes)

    def process(self, stage: str) -> float:
        """Seconds of a stage's work per picture."""
        return self.passes[stage].process / self.passes[stage].rows

    def seconds(self, pictures: int) -> float:
        """Seconds of both passes over so many pictures here, the next shard being read while one is worked on."""
        each = (max(item.load, item.process) / item.rows for item in self.passes.values())
        return pictures * sum(each)


@dataclass(frozen=True)
class Expected:
    """A table that the run will write."""

    stage: str
    table: str
    rows: int
    size: float | None
    """Bytes, from a sample or from what its columns hold; None where neither tells."""


def sample_of(sweep: Sweep, pictures: int) -> Sample:
    """Both passes over some pictures that are spread over the collection, in a store of its own.

    Half of them only warm everything up. Pictures that cannot be used are in it with their reasons; where none can,
    the second pass is left out. Raises what the stages raise.
    """
    count = min(pictures, len(sweep.collection))
    some = thinned(sweep.collection, len(sweep.collection) // count, count)
    recipe = sweep.recipe.model_copy(update={"shard_size": ceil(count / 2)})
    with tempfile.TemporaryDirectory(prefix="clipneuron-") as folder:
        small = replace(sweep, recipe=recipe, collection=some, store=Store(folder), extends="")
        run, planned, _ = small.planned(Runner(console=Console(file=io.StringIO())))
        stages = {stage.kind: stage for stage in small.stages(planned).all}
        passes: dict[str, Measured] = {}
        failed: tuple[Failure, ...] = ()
        for name in _PASSES:
            if len(failed) < count:
                passes[name] = measure(stages[name], run, stages[name].shards(run))
                failed = passes[name].failures
        notes = tuple(picture_notes(run))
    return Sample(count, passes, failed, notes)


def expected(
    sweep: Sweep, pictures: int, shards: int, sample: Sample | None = None
) -> list[Expected]:
    """The tables of a run over so many pictures in so many shards; those of the passes are sized by the sample.

    Pictures that turn out to be unusable leave no row in `remainders`.
    """
    neurons = len(sweep.layers) * sweep.clip.neurons
    per_shard = [("means", neurons), ("remainder_means", len(sweep.layers))]
    found = [_per_shard("calibrate", table, rows, shards, sample) for table, rows in per_shard]
    found += [
        _per_picture("norms", 1, pictures, sample),
        _per_picture("remainders", len(sweep.layers), pictures, sample),
    ]
    summaries = _summaries(sweep, pictures, shards, sample)
    found += [summaries("effects", shards)]
    for level, groups in enumerate(_groups(shards), start=1):
        found.append(summaries(f"merge-{level}", groups))
    return found + _described(sweep, neurons)


def _per_shard(stage: str, table: str, rows: int, shards: int, sample: Sample | None) -> Expected:
    size = sample.passes[stage].sizes[table] * shards if sample else None
    return Expected(stage, table, rows * shards, size)


def _per_picture(table: str, rows: int, pictures: int, sample: Sample | None) -> Expected:
    if not sample:
        return Expected("effects", table, rows * pictures, None)
    measured = sample.passes["effects"]
    size = measured.sizes[table] / measured.rows * pictures
    return Expected("effects", table, rows * pictures, size)


def _summaries(
    sweep: Sweep, pictures: int, shards: int, sample: Sample | None
) -> Callable[[str, int], Expected]:
    """Summaries grow with a shard's pictures until it has as many as a neuron's top effects."""
    neurons, top = len(sweep.layers) * sweep.clip.neurons, sweep.recipe.top

    def summaries(stage: str, count: int) -> Expected:
        size = None
        if sample:
            measured = sample.passes["effects"]
            filled = min(top, ceil(pictures / count)) / min(top, measured.rows)
            size = measured.sizes["summaries"] * filled * count
        return Expected(stage, "summaries", neurons * count, size)

    return summaries


def _groups(shards: int) -> Iterator[int]:
    """Summaries of a block that each level of the merging tree leaves."""
    while shards > FAN_IN:
        shards = ceil(shards / FAN_IN)
        yield shards


def _described(sweep: Sweep, neurons: int) -> list[Expected]:
    """What does not grow with the pictures, by the numbers in its rows; texts and repeated values are small."""
    recipe, embed = sweep.recipe, sweep.clip.embed
    atoms = neurons * min(recipe.atoms, len(sweep.pool), embed)
    texts = len(sweep.pool)
    return [
        Expected("texts", "text_embeddings", texts, texts * 4.0 * embed),
        Expected("directions", "directions", neurons, neurons * (8.0 * embed + 16 * recipe.top)),
        Expected("descriptions", "descriptions", atoms, atoms * 8.0),
    ]
