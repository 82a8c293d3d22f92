"""What a sweep will take and leave: rows by its shapes, bytes and seconds from a few pictures of its own."""

import io
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil

import pyarrow as pa
import torch
from torch.nn import functional

from clipneuron.engine.measure import Measured, measure
from clipneuron.engine.runner import Runner
from clipneuron.readers.arrow import list_column
from clipneuron.readers.pictures import evenly
from clipneuron.readers.sweep import NeuronBlock, PreparedTexts
from clipneuron.reports.consoles import Console
from clipneuron.store.store import Failure, Run, Store
from clipneuron.store.traffic import Traffic
from clipneuron.sweep.inputs import picked
from clipneuron.sweep.notes import picture_notes
from clipneuron.sweep.pipeline import Sweep
from clipneuron.sweep.stages.descriptions import DescriptionsStage
from clipneuron.sweep.stages.texts import TextsStage
from clipneuron.sweep.trees import groups
from clipneuron.sweep.waves import kept

_TEXTS, _NEURONS = 64, 8
"""Texts that are encoded, and neurons that are described at first, to learn how long one takes."""
_UNCACHED = {"cache": "", "cache_size": 0.0}
"""A sample is decoded, and leaves nothing behind."""
_SECONDS = 3.0
"""How long the descriptions may be tried."""


@dataclass(frozen=True)
class Sample:
    """What a shard of a few pictures cost in this process, and a few texts and neurons after it."""

    pictures: int
    passes: dict[str, Measured]
    words: dict[str, Measured]
    """By kind, the stages whose work does not grow with the pictures."""
    failed: tuple[Failure, ...] = ()
    """The pictures that could not be used."""
    notes: tuple[str, ...] = ()
    """What is to be said of the others, as of the run's pictures at its end."""

    @property
    def is_measured(self) -> bool:
        """Whether any picture could be used in both passes, so that all stages were tried."""
        return bool(self.words)

    @property
    def failed_share(self) -> float:
        """The share of its pictures that could not be used."""
        return len(self.failed) / self.pictures

    @property
    def load(self) -> float:
        """Seconds to read and decode a picture."""
        return sum(item.load / item.rows for item in self.passes.values()) / len(self.passes)

    def seconds(self, kind: str) -> float:
        """Seconds of a stage per row here, the next shard being read while one is worked on."""
        measured = (self.passes | self.words)[kind]
        return max(measured.load, measured.process) / measured.rows

    def traffic(self, kind: str, rows: int, shards: int) -> Traffic | None:
        """What a pass over so many pictures asks for: their reading grows with them, the rest with their shards."""
        if kind not in self.passes:
            return None
        measured = self.passes[kind]
        return measured.loading * (rows / measured.rows) + measured.rest * shards


@dataclass(frozen=True)
class Ahead:
    """A stage that is still to be done, or some of its rows."""

    stage: str
    rows: int
    unit: str
    seconds: float
    """In one process here."""
    traffic: Traffic | None = None
    """What it asks of the places of pictures and tables, by the sample; None where that was not tried."""


@dataclass(frozen=True)
class Expected:
    """A table that the run will write."""

    stage: str
    table: str
    rows: int
    size: float | None
    """Bytes, from a sample or from what its columns hold; None where neither tells."""


def sample_of(sweep: Sweep, pictures: int) -> Sample:
    """Both passes over some pictures that are spread over the collection, and some texts and neurons.

    All in a store of its own; half of it only warms everything up. Pictures that cannot be used are in it with their
    reasons; where none can, only the first pass is tried. Raises what the stages raise.
    """
    count = min(pictures, len(sweep.collection))
    some = picked(sweep.collection, evenly(count, len(sweep.collection)), f"{count} pictures")
    recipe = sweep.recipe.model_copy(
        update={"shard_size": ceil(count / 2), "calibrate_on": 0, **_UNCACHED}
    )
    with tempfile.TemporaryDirectory(prefix="clipneuron-") as folder:
        small = replace(sweep, recipe=recipe, collection=some, store=Store(folder), extends="")
        run, planned, _ = small.planned(Runner(console=Console(file=io.StringIO())))
        stages = small.stages(planned)
        passes = {"calibrate": measure(stages.calibrate, run, stages.calibrate.shards(run))}
        failed = passes["calibrate"].failures
        words: dict[str, Measured] = {}
        if len(failed) < count:
            passes["effects"] = measure(stages.effects, run, stages.effects.shards(run))
            failed = passes["effects"].failures
        if len(failed) < count:
            words = {
                "texts": _texts(stages.texts, run),
                "directions": measure(stages.directions, run, stages.directions.shards(run)[:2]),
                "descriptions": _descriptions(stages.descriptions, sweep),
            }
        notes = tuple(picture_notes(run))
    return Sample(count, passes, words, failed, notes)


def ahead(sweep: Sweep, pictures: int, sample: Sample) -> list[Ahead]:
    """The stages of a run over so many new pictures, with the time that each takes by the sample."""
    neurons = len(sweep.layers) * sweep.clip.neurons
    texts, first = _to_do(sweep, sweep.open(), pictures)
    rows = [
        ("texts", texts, "texts"),
        ("calibrate", first, "images"),
        ("effects", pictures, "images"),
        ("directions", neurons, "neurons"),
        ("descriptions", neurons, "neurons"),
    ]
    return [
        Ahead(
            stage,
            count,
            unit,
            count * sample.seconds(stage),
            sample.traffic(stage, count, ceil(count / sweep.recipe.shard_size)),
        )
        for stage, count, unit in rows
        if count
    ]


def _to_do(sweep: Sweep, run: Run, pictures: int) -> tuple[int, int]:
    """Texts to encode, and pictures of a first pass over so many new ones: a run that grows keeps its means."""
    texts = sweep.texts()
    encoded = run.done(texts.name)
    new = sum(shard.rows for shard in texts.shards(run) if shard.name not in encoded)
    known = bool(sweep.extends) and bool(run.done("calibrate"))
    return new, 0 if known else calibrated(sweep, pictures)


def calibrated(sweep: Sweep, pictures: int) -> int:
    """Pictures of a first pass over so many."""
    return min(sweep.recipe.calibrate_on or pictures, pictures)


def _texts(stage: TextsStage, run: Run) -> Measured:
    """Two shards of texts that are spread over the pool."""
    each = max(1, min(_TEXTS, len(stage.pool) // 2))
    texts = stage.pool.texts[:: max(1, len(stage.pool) // (2 * each))][: 2 * each]
    small = replace(stage, pool=replace(stage.pool, texts=texts), shard_size=each)
    return measure(small, run, small.shards(run))


def _descriptions(stage: DescriptionsStage, sweep: Sweep) -> Measured:
    """Random directions described with random texts, as many as the pool has: they take as long as real ones."""
    texts, random = sweep.pool.texts, torch.Generator().manual_seed(0)
    matrix = torch.randn(len(texts), sweep.clip.embed, generator=random)
    worker = stage.build(PreparedTexts(tuple(texts), functional.normalize(matrix, dim=1).numpy()))

    def seconds(neurons: int) -> float:
        directions = torch.randn(neurons, sweep.clip.embed, generator=random)
        block = NeuronBlock(stage.layers[0], 0, neurons)
        rows = pa.table(
            {
                "neuron": pa.array(range(neurons), pa.int32()),
                "direction": list_column(directions, pa.list_(pa.float32())),
            }
        )
        start = time.perf_counter()
        worker.process((block, rows), lambda rows: None)
        return time.perf_counter() - start

    few = min(_NEURONS, stage.block, stage.neurons)
    seconds(few)
    # A pass over the texts serves all neurons of a block, so as many are tried as there is time for.
    many = min(stage.block, stage.neurons, max(few, int(few * _SECONDS / seconds(few))))
    return Measured(many, 0.0, seconds(many), {})


def expected(
    sweep: Sweep, pictures: int, shards: int, sample: Sample | None = None
) -> list[Expected]:
    """The tables of so many new pictures in so many shards; those of the passes are sized by the sample.

    What a run that grows has already is left out. Pictures that turn out to be unusable leave no row in `remainders`.
    """
    neurons = len(sweep.layers) * sweep.clip.neurons
    per_shard = [("means", neurons), ("remainder_means", len(sweep.layers))]
    texts, passed = len(sweep.pool), calibrated(sweep, pictures)
    if sweep.extends:
        texts, passed = _to_do(sweep, sweep.open(), pictures)
    first = min(shards, ceil(passed / sweep.recipe.shard_size))
    found = [_per_shard("calibrate", table, rows, first, sample) for table, rows in per_shard]
    found += [
        _per_picture("norms", 1, pictures, sample),
        _per_picture("remainders", len(sweep.layers), pictures, sample),
    ]
    summaries = _summaries(sweep, pictures, shards, sample)
    found += [summaries("effects", shards)]
    for level, count in enumerate(groups(shards), start=1):
        found.append(summaries(f"merge-{level}", count))
    return [item for item in found + _described(sweep, neurons, texts) if item.rows]


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
    """Summaries grow with the top pictures that they hold: those of a shard by its wave, those that are merged at most.

    What is merged is taken to be full, which it is after the first wave only.
    """
    neurons, top = len(sweep.layers) * sweep.clip.neurons, sweep.recipe.top

    def summaries(stage: str, count: int) -> Expected:
        size = None
        if sample:
            measured = sample.passes["effects"]
            merged = count * min(top, ceil(pictures / count))
            held = kept(pictures, count, top) if stage == "effects" else merged
            size = measured.sizes["summaries"] * held / min(top, measured.rows)
        return Expected(stage, "summaries", neurons * count, size)

    return summaries


def _described(sweep: Sweep, neurons: int, texts: int) -> list[Expected]:
    """What does not grow with the pictures, by the numbers in its rows; texts and repeated values are small."""
    recipe, embed = sweep.recipe, sweep.clip.embed
    atoms = neurons * min(sweep.atoms, len(sweep.pool))
    words = neurons * min(recipe.words, len(sweep.pool))
    return [
        Expected("texts", "text_embeddings", texts, texts * 4.0 * embed),
        Expected("directions", "directions", neurons, neurons * (8.0 * embed + 16 * recipe.top)),
        Expected("descriptions", "descriptions", atoms, atoms * 8.0),
        Expected("descriptions", "neuron_words", words, words * 8.0),
        Expected("descriptions", "pursuits", neurons, neurons * 24.0),
    ]
