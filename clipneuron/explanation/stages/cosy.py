"""cosy-scores: do neurons respond more to painted pictures of their words than to the held-out pictures (CoSy)?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.lens.projections import LayerProjections
from clipneuron.lens.words.cosy import cosy
from clipneuron.models.clip.preprocessing.preprocess import PictureError, Preprocess
from clipneuron.readers.explanation import (
    Table,
    leading_words,
    pictures_of,
    sampled,
    values_of,
)
from clipneuron.readers.lenses import ClipLoader, Lenses, trace_of
from clipneuron.readers.pictures import Pixels
from clipneuron.readers.written import SweptNeurons, swept_neurons
from clipneuron.store.store import Failure, Run
from clipneuron.tables import registry as tables
from clipneuron.tables.halves import Half

if TYPE_CHECKING:
    from clipneuron.models.clip.model import Clip


class Loaded(NamedTuple):
    """A layer's painted pictures, the words of the neurons drawn, and their responses to the control pictures."""

    shard: Shard
    pixels: Pixels
    words: tuple[str, ...]
    """Of each picture."""
    failures: tuple[Failure, ...]
    neurons: tuple[int, ...]
    leading: Mapping[str, Sequence[str | None]]
    """By describer, of each neuron drawn."""
    active: Float[Tensor, "neuron image"]
    written: Float[Tensor, "neuron image"]


@dataclass(frozen=True, kw_only=True)
class CosyScoresStage(Stage):
    """Scores all describers' leading words of the neurons drawn, a layer per shard."""

    clip: ClipLoader
    preprocess: Preprocess
    lenses: Lenses
    batch_size: int
    neurons: int
    drawn: int
    seed: int
    painted: Upstream
    means: Upstream
    directions: Upstream
    projections: Upstream
    """Of the control pictures: activations of the half `fit`, what neurons write of the half `score`."""
    witness: tuple[Upstream, ...]
    describers: Mapping[str, Upstream]
    resources: Resources = Resources(pool="clip")

    kind = "cosy-scores"
    writes = ("cosy_scores",)
    unit = "neurons"

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The pictures, what is known of the neurons, and the words."""
        own = (self.painted, self.means, self.directions, self.projections, *self.witness)
        return (*own, *self.describers.values())

    @property
    def identity(self) -> Mapping[str, object]:
        """The describers in their order, and the dice."""
        return {"describers": [*self.describers], "drawn": self.drawn, "seed": self.seed}

    def shards(self, run: Run) -> Sequence[Shard]:
        """A shard per layer."""
        rows = min(self.drawn, self.neurons)
        return [Shard(f"layer-{layer:02d}", rows, layer) for layer in self.lenses.layers]

    def loader(self, run: Run) -> "PaintedLayer":
        """Reads and decodes painted pictures."""
        return PaintedLayer(self, run)

    def share(self, run: Run) -> SweptNeurons:
        """Means, directions and thresholds."""
        return swept_neurons(run, self.means.name, self.directions.name, self.lenses.layers)

    def build(self, shared: SweptNeurons) -> "CosyScoresWorker":
        """A worker with the model and the directions of every layer."""
        return CosyScoresWorker(self, self.clip(), shared)


@dataclass(frozen=True)
class PaintedLayer:
    """Reads what belongs to one layer."""

    stage: CosyScoresStage
    run: Run

    def load(self, shard: Shard) -> Loaded:
        """The pictures, as pixels, and the control pictures' responses."""
        stage, layer, run = self.stage, shard.payload, self.run
        neurons = sampled(stage.neurons, stage.drawn, stage.seed, layer)
        rows = run.read(stage.painted.name, "painted_words", shards=[shard.name])
        pixels, words, failures = [], [], []
        for row in rows.filter(pa.compute.equal(rows["status"], "ok")).to_pylist():
            name = f"{row['text']} #{row['copy']}"
            try:
                pixels.append(stage.preprocess.decode(row["image"], name))
                words.append(row["text"])
            except PictureError as error:
                failures.append(Failure(name, error.status, error.reason))
        return Loaded(
            shard,
            np.stack(pixels) if pixels else np.empty((0, 3, 1, 1), np.uint8),
            tuple(words),
            tuple(failures),
            neurons,
            {
                name: leading_words(run, describer.name, layer, neurons)
                for name, describer in stage.describers.items()
            },
            self._responses("patch_activations", layer)[list(neurons)],
            self._responses("projections", layer)[list(neurons)],
        )

    def _responses(self, table: Table, layer: int) -> Float[Tensor, "neuron image"]:
        half: Half = "fit" if table == "patch_activations" else "score"
        own = self.stage.projections
        images = pictures_of(self.run, own, self.stage.witness, half)
        return values_of(self.run, own.name, table, layer, images)


class CosyScoresWorker:
    """Scores one layer after another."""

    def __init__(self, stage: CosyScoresStage, clip: "Clip", known: SweptNeurons) -> None:
        self.stage, self.clip = stage, clip
        with torch.inference_mode():
            self.layers = {
                layer: known.projections(lens) for layer, lens in stage.lenses.on(clip).items()
            }

    @torch.inference_mode()
    def process(self, loaded: Loaded, advance: Advance) -> Output:
        """The table `cosy_scores`."""
        active, written = self._responses(loaded, self.layers[loaded.shard.payload])
        rows = [
            self._row(loaded, describer, place, active, written)
            for describer in loaded.leading
            for place in range(len(loaded.neurons))
        ]
        advance(loaded.shard.rows)
        table = pa.Table.from_pylist(rows, schema=tables.schema("cosy_scores"))
        return Output({"cosy_scores": table}, loaded.failures)

    def _responses(self, loaded: Loaded, item: LayerProjections) -> tuple[Tensor, Tensor]:
        """Mean activations and what is written, each [neuron drawn, painted picture]."""
        layer, neurons = loaded.shard.payload, list(loaded.neurons)
        active, written = [torch.zeros(0, len(neurons))], [torch.zeros(0, len(neurons))]
        for start in range(0, len(loaded.pixels), self.stage.batch_size):
            pixels = loaded.pixels[start : start + self.stage.batch_size]
            trace = trace_of(self.clip, pixels, (layer,))
            # The class token's activation is none of a patch.
            active.append(trace.activations[layer][:, 1:, neurons].float().mean(1).cpu())
            written.append(item.of(trace).projections[:, neurons].float().cpu())
            del trace  # before the next batch passes: activations take gigabytes
        return torch.cat(active).T, torch.cat(written).T

    def _row(
        self, loaded: Loaded, describer: str, place: int, active: Tensor, written: Tensor
    ) -> dict[str, Any]:
        word, own = loaded.leading[describer][place], slice(place, place + 1)
        chosen = torch.tensor([name == word for name in loaded.words], dtype=torch.bool)
        found: dict[str, float | None]
        found = dict.fromkeys(("auc", "mad", "written_auc", "written_mad"))
        if chosen.any():
            by_activity = cosy(active[own, chosen], loaded.active[own])
            by_writing = cosy(written[own, chosen], loaded.written[own])
            values = (*by_activity, *by_writing)
            found = dict(zip(found, map(float, values), strict=True))
        return {
            "layer": loaded.shard.payload,
            "neuron": loaded.neurons[place],
            "describer": describer,
            "text": word,
            "painted": int(chosen.sum()),
            **found,
        }
