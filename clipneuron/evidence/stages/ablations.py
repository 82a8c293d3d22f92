"""ablations: what the zero-shot classifier says with second-order effects replaced (Fig. 3, 4, 9), in one pass."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from jaxtyping import Float
from torch import Tensor

from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.lens.ablations import LayerAblation, Replacement, representations, text_replacement
from clipneuron.lens.effects import SecondOrderLens
from clipneuron.lens.options import Rule
from clipneuron.readers.arrow import neuron_columns, table_of, tensor, unchanging
from clipneuron.readers.evidence import classifier_of
from clipneuron.readers.feeding import fed
from clipneuron.readers.lenses import ClipLoader, Lenses, trace_of
from clipneuron.readers.pictures import Batch, PictureFeed
from clipneuron.readers.predictions import Predictions
from clipneuron.readers.sweep import MeanEffect, mean_effects
from clipneuron.store.store import Run
from clipneuron.tables import registry as tables
from clipneuron.tables.ablations import NONE, Ablation, name_of_texts

if TYPE_CHECKING:
    from clipneuron.models.clip.model import Clip

Array = Float[np.ndarray, "neuron embed"]


@dataclass(frozen=True)
class AblationsStage(Stage):
    """One pass over labelled pictures: all layers, and at some of them all pools and sizes of texts."""

    clip: ClipLoader
    pictures: PictureFeed
    lenses: Lenses
    batch_size: int
    plan: Upstream
    """Of the labelled pictures."""
    means: Upstream
    classifier: Upstream
    directions: Upstream
    reconstructions: Mapping[str, Upstream]
    """Of each pool of texts, the stage with the sums of its texts."""
    rule: Rule
    resources: Resources = Resources(pool="clip")

    kind = "ablations"
    writes = ("predictions", "significance")
    unit = "images"

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The pictures, the classifier, and what effects are replaced by."""
        stages = (self.plan, self.means, self.directions, self.classifier)
        return (*stages, *self.reconstructions.values())

    @property
    def identity(self) -> Mapping[str, object]:
        """What texts replace, the pools in the order in which they are read, and where energy is counted from."""
        return {"rule": self.rule, "pools": [*self.reconstructions], "energy": "quantile_98"}

    def shards(self, run: Run) -> Sequence[Shard]:
        """The shards of the labelled pictures."""
        return self.pictures.shards(run, parts=1)

    def loader(self, run: Run) -> PictureFeed:
        """Reads and decodes pictures."""
        return self.pictures

    def share(self, run: Run) -> "Substitutes":
        """Means, thresholds, directions and sums of texts."""
        columns = ["layer", "neuron", "direction", "threshold", "quantile_98"]
        known = run.read(self.directions.name, "directions", columns=columns)
        return Substitutes(
            classifier_of(run, self.classifier.name).matrix,
            mean_effects(run, self.means.name, self.lenses.layers),
            _by_layer(known, "direction"),
            _by_layer(known, "threshold"),
            _by_layer(known, "quantile_98"),
            {
                name_of_texts(pool, size): found
                for pool, stage in self.reconstructions.items()
                for size, found in _sums(run, stage.name).items()
            },
        )

    def build(self, shared: "Substitutes") -> "AblationsWorker":
        """A worker with the model and the ablations of every layer."""
        return AblationsWorker(self, self.clip(), shared)


@dataclass(frozen=True)
class Substitutes:
    """What all workers replace effects by, as arrays; by layer."""

    classifier: Float[np.ndarray, "class embed"]
    means: dict[int, MeanEffect]
    directions: dict[int, Array]
    thresholds: dict[int, Float[np.ndarray, "neuron"]]
    quantiles: dict[int, Float[np.ndarray, "neuron"]]
    """The norms below which 98 % of D's lie."""
    texts: dict[str, dict[int, Array]]
    """By ablation, then by layer; not every layer has them."""

    def of(self, lens: SecondOrderLens, rule: Rule) -> LayerAblation:
        """The ablations of the lens's layer."""
        layer, mean = lens.layer, self.means[lens.layer]
        like = lens.weights.projection
        directions = unchanging(self.directions[layer]).to(like)
        replacements = {"pc": Replacement(directions, directions)}
        for name, found in self.texts.items():
            if layer in found:
                sums = unchanging(found[layer]).to(like)
                replacements[name] = text_replacement(directions, sums, rule)
        thresholds = unchanging(self.thresholds[layer])
        mean_effect = mean.coefficients, mean.remainder
        return LayerAblation(lens, *mean_effect, thresholds, replacements, axes=mean.known_axes)


class AblationsWorker:
    """Ablates one shard after another."""

    def __init__(self, stage: AblationsStage, clip: "Clip", substitutes: Substitutes) -> None:
        self.stage, self.clip = stage, clip
        self.classifier = unchanging(substitutes.classifier).to(clip.device)
        self.quantiles = substitutes.quantiles
        lenses = stage.lenses.on(clip)
        with torch.inference_mode():
            self.layers = [substitutes.of(lens, stage.rule) for lens in lenses.values()]

    @torch.inference_mode()
    def process(self, loaded: Batch, advance: Advance) -> Output:
        """The tables `predictions` and `significance`."""
        predictions = Predictions(self.classifier)
        energies = {item.lens.layer: self._energy(item.lens.layer) for item in self.layers}
        for pictures, pixels in fed(loaded, self.stage.batch_size, self.clip.device):
            trace = trace_of(self.clip, pixels, self.stage.lenses.layers, writes=True)
            before = representations(trace, normalize=self.stage.lenses.normalize)
            predictions.add({NONE: before})
            for item in self.layers:
                layer, found = item.lens.layer, item.ablated(trace)
                energies[layer].add(found.norms)
                ablated = {name: before + change for name, change in found.changes.items()}
                predictions.add({Ablation(name, layer): rows for name, rows in ablated.items()})
            del trace  # before the next batch passes: activations take gigabytes
            advance(len(pictures))
        advance(len(loaded.failures))
        tables_of_shard = {
            "predictions": predictions.table(loaded),
            "significance": pa.concat_tables([own.table(layer) for layer, own in energies.items()]),
        }
        return Output(tables_of_shard, loaded.failures)

    def _energy(self, layer: int) -> "Energy":
        return Energy(unchanging(self.quantiles[layer]).to(self.clip.device))


class Energy:
    """Sums of a layer's |phi - b|^2 over pictures, of all of them and of those above a limit that D has set."""

    def __init__(self, limits: Float[Tensor, "neuron"]) -> None:
        self.limits, self.count = limits, 0
        self._sums = torch.zeros(3, len(limits), dtype=torch.float64, device=limits.device)

    def add(self, norms: Float[Tensor, "image neuron"]) -> None:
        """Take in the centred norms of one batch."""
        self.count += len(norms)
        above, squares = norms > self.limits, norms.double().square()
        self._sums += torch.stack([above.double(), squares, squares * above]).sum(1)

    def table(self, layer: int) -> pa.Table:
        """The table `significance` of the layer, a row per neuron."""
        above, energy, energy_above = self._sums.cpu()
        columns = {
            **neuron_columns(layer, 0, len(above)),
            "count": pa.array([self.count] * len(above), pa.int64()),
            "above": above.long().numpy(),
            "energy": energy.numpy(),
            "energy_above": energy_above.numpy(),
        }
        return table_of(columns, tables.schema("significance"))


def _sums(run: Run, stage: str) -> dict[int, dict[int, Array]]:
    """The sums of texts by size, then by layer."""
    table = run.read(stage, "reconstructions")
    sizes = np.unique(table["atoms"].to_numpy())
    return {int(size): _by_layer(_where(table, "atoms", size), "reconstruction") for size in sizes}


def _by_layer(table: pa.Table, column: str) -> dict[int, Array]:
    layers = np.unique(table["layer"].to_numpy())
    return {
        int(layer): tensor(_where(table, "layer", layer).sort_by("neuron")[column]).numpy()
        for layer in layers.tolist()
    }


def _where(table: pa.Table, column: str, value: int) -> pa.Table:
    return table.filter(pc.equal(table[column], value))
