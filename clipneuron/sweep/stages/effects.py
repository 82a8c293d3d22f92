"""effects: the sweep. Centred norms per picture, and a mergeable summary per neuron and shard."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import pyarrow as pa
import torch
from jaxtyping import Float, Int
from torch import Tensor

from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.lens.effects import SecondOrderLens
from clipneuron.lens.summaries import Collector, HalfCollector
from clipneuron.lens.trace import Trace
from clipneuron.readers.arrow import fixed_list_column, list_column, table_of
from clipneuron.readers.feeding import fed
from clipneuron.readers.lenses import ClipLoader, Lenses, trace_of
from clipneuron.readers.pictures import Batch, PictureFeed
from clipneuron.readers.sweep import MeanEffect, Part, bounds, mean_effects, summary_table
from clipneuron.store.store import Run
from clipneuron.sweep.waves import waves
from clipneuron.tables import registry as tables

if TYPE_CHECKING:
    from clipneuron.models.clip.model import Clip

MOST_OF_FLOAT16 = int(torch.finfo(torch.float16).max)
"""65,504: what is beyond would round to infinity."""


@dataclass(frozen=True)
class Known:
    """What is known before a shard is swept."""

    means: dict[int, MeanEffect]
    bounds: dict[int, Int[Tensor, "neuron"]]
    """Per layer, the key up to which nothing need be kept of a neuron; none in the first wave."""


@dataclass(frozen=True)
class EffectsStage(Stage):
    """One pass over the pictures; memory does not grow with their number."""

    clip: ClipLoader
    pictures: PictureFeed
    lenses: Lenses
    batch_size: int
    top: int
    plan: Upstream
    means: Upstream
    parts: int = 1
    groups: tuple[tuple[int, ...], ...] = ()
    """Layers that are swept together, where memory does not allow all: each group is a forward pass of its own."""
    norms: Literal["float32", "float16"] = "float32"
    """What the table `norms` is rounded to; everything else comes from the norms as they are."""
    beyond: bool = False
    """Whether there are pictures, in the wave that it works on, that the means are not of."""
    before: tuple[str, ...] = ()
    """The shards whose top pictures those of the wave that it works on have to beat."""
    resources: Resources = Resources(pool="clip")

    kind = "effects"
    writes = ("norms", "summaries", "remainders")
    unit = "images"

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The pictures and the mean effects."""
        return (self.plan, self.means)

    def shards(self, run: Run) -> Sequence[Shard]:
        """The shards of the plan's first `parts` parts."""
        return self.pictures.shards(run, self.parts)

    def waves(self, shards: Sequence[Shard]) -> Sequence[tuple[Stage, Sequence[Shard]]]:
        """A single wave of a small collection; more of a larger one, each with more known before it."""
        found = waves(_by_part(shards))
        return [
            (replace(self, before=wave.before, beyond=self.beyond or part > 0), own)
            for wave in found
            for part, own in enumerate(_first_and_later(wave.shards))
            if own
        ]

    def loader(self, run: Run) -> PictureFeed:
        """Reads and decodes pictures."""
        return self.pictures

    def share(self, run: Run) -> Known:
        """The mean effects, and what the waves before have made unreachable."""
        layers = self.lenses.layers
        known = bounds(run, Part(self.name, self.before), layers, self.top)
        return Known(mean_effects(run, self.means.name, layers), known)

    def build(self, shared: Known) -> "EffectsWorker":
        """A worker with the model, the mean effects and a lens per layer."""
        return EffectsWorker(self, self.clip(), shared)


class Centre(NamedTuple):
    """What effects of a layer are taken over."""

    lens: SecondOrderLens
    remainder: Float[Tensor, "coordinate"]
    """The mean remainder in the lens's coordinates."""


class LayerSweep:
    """What one shard leaves of one layer, batch by batch."""

    def __init__(self, centre: Centre, known: Known, top: int) -> None:
        lens, like = centre.lens, centre.lens.weights.projection
        self.lens, self.layer = lens, lens.layer
        self.mean = known.means[lens.layer].coefficients.to(like)
        self.mean_remainder = centre.remainder.to(like)
        bound = known.bounds.get(lens.layer)
        collector = HalfCollector if lens.half else Collector
        self.collector = collector(lens.weights.neurons, lens.paths, top, like.device, bound)
        self.norms = [like.new_zeros(0, lens.weights.neurons)]
        self.remainders = [like.new_zeros(0, len(lens.remainder_basis))]

    def add(self, trace: Trace, images: Tensor, room: Tensor) -> None:
        """Take in one batch; its coefficients are in `room` meanwhile."""
        coefficients, remainders, norms = self.lens.centred(
            trace, self.mean, self.mean_remainder, room
        )
        self.collector.add(norms, images, coefficients)
        self.norms.append(norms)
        self.remainders.append(remainders)

    def swept(self, images: Tensor) -> "Swept":
        """What is left of the layer; the sweep itself can be forgotten."""
        return Swept(
            self.layer,
            torch.cat(self.norms).float().cpu(),
            summary_table(self.layer, 0, self.collector.summary()),
            self._remainder_rows(images),
        )

    def _remainder_rows(self, images: Tensor) -> pa.Table:
        """A row per picture."""
        columns = {
            "index": images.numpy(),
            "layer": pa.array([self.layer] * len(images), pa.int16()),
            "coordinates": list_column(torch.cat(self.remainders), pa.list_(pa.float32())),
        }
        return table_of(columns, tables.schema("remainders"))


@dataclass(frozen=True)
class Swept:
    """Of a shard and a layer: centred norms per picture, and the tables of neurons and of remainders."""

    layer: int
    norms: Float[Tensor, "image neuron"]
    summaries: pa.Table
    remainders: pa.Table


class EffectsWorker:
    """Sweeps one shard after another."""

    def __init__(self, stage: EffectsStage, clip: "Clip", known: Known) -> None:
        self.stage, self.clip, self.known = stage, clip, known
        self.groups = stage.groups or (stage.lenses.layers,)
        self._kept = self._centres(self.groups[0]) if len(self.groups) == 1 else None

    @torch.inference_mode()
    def process(self, loaded: Batch, advance: Advance) -> Output:
        """The tables `norms`, `summaries` and `remainders`."""
        images = torch.tensor([picture.index for picture in loaded.good], dtype=torch.int64)
        swept: list[Swept] = []
        for group in self.groups:
            sweeps = self._swept(group, loaded, advance if group == self.groups[-1] else _silent)
            while sweeps:  # each is forgotten as soon as its tables are there
                swept.append(sweeps.pop(0).swept(images))
        advance(len(loaded.failures))
        return Output(_tables(loaded, swept, self.stage.norms), loaded.failures)

    def _swept(self, group: Sequence[int], loaded: Batch, advance: Advance) -> list[LayerSweep]:
        """One pass over the shard's pictures."""
        centres = self._kept or self._centres(group)
        sweeps = [LayerSweep(centre, self.known, self.stage.top) for centre in centres]
        size = max(sweep.lens.room(self.stage.batch_size) for sweep in sweeps)
        room = sweeps[0].mean.new_empty(size)
        for pictures, pixels in fed(loaded, self.stage.batch_size, self.clip.device):
            trace = trace_of(self.clip, pixels, group)
            images = torch.tensor([picture.index for picture in pictures])
            for sweep in sweeps:
                sweep.add(trace, images, room)
            del trace  # before the next batch passes: activations take gigabytes
            advance(len(pictures))
        return sweeps

    def _centres(self, group: Sequence[int]) -> list[Centre]:
        wide = replace(self.stage.lenses, layers=tuple(group)).on(self.clip)
        means, beyond = self.known.means, self.stage.beyond
        return [Centre(*means[layer].lens_for(lens, beyond)) for layer, lens in wide.items()]


def _first_and_later(shards: Sequence[Shard]) -> tuple[list[Shard], list[Shard]]:
    """Those of the plan's first part, and the others."""
    split: tuple[list[Shard], list[Shard]] = [], []
    for shard in shards:
        split[shard.payload["part"][0].as_py() > 0].append(shard)
    return split


def _by_part(shards: Sequence[Shard]) -> list[list[Shard]]:
    """The shards by the part of the plan that their pictures were added in."""
    parts: dict[int, list[Shard]] = {}
    for shard in shards:
        parts.setdefault(shard.payload["part"][0].as_py(), []).append(shard)
    return [parts[part] for part in sorted(parts)]


def _silent(rows: int) -> None:
    """Pictures are counted in the last of several passes."""


def _tables(loaded: Batch, swept: Sequence[Swept], kind: str) -> dict[str, pa.Table]:
    return {
        "norms": _norms(loaded, swept, kind),
        "summaries": pa.concat_tables([layer.summaries for layer in swept]),
        "remainders": pa.concat_tables([layer.remainders for layer in swept]),
    }


def _norms(loaded: Batch, swept: Sequence[Swept], kind: str) -> pa.Table:
    present = torch.tensor(loaded.present, dtype=torch.bool)
    columns: dict[str, object] = dict(loaded.rows())
    for layer in swept:
        rows = rounded(layer.norms, layer.layer) if kind == "float16" else layer.norms
        columns[f"layer_{layer.layer}"] = fixed_list_column(rows, present)
    neurons, layers = swept[0].norms.shape[1], [layer.layer for layer in swept]
    numbers = pa.type_for_alias(kind)
    schema = tables.schema("norms", layers=layers, neurons=neurons, numbers=numbers)
    return table_of(columns, schema)


def rounded(norms: Float[Tensor, "image neuron"], layer: int) -> Float[Tensor, "image neuron"]:
    """The norms in float16; ValueError where one is too large for it, which rounding would make infinite."""
    short = norms.half()
    if short.isinf().any():
        raise ValueError(
            f"a norm of layer {layer} is {norms[short.isinf()].max():,.0f}, and float16 ends at {MOST_OF_FLOAT16:,}: "
            "run with `recipe.norms` float32, which is another run"
        )
    return short
