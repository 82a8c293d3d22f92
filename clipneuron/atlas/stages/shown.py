"""shown: which pictures the page of each neuron shows, and which neurons act most on a picture; a shard per layer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float, Int

from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.readers.arrow import table_of, tensor
from clipneuron.store.store import Run
from clipneuron.tables import registry as tables

BLOCK = 256
"""Neurons or pictures that are sorted at a time."""


@dataclass(frozen=True, kw_only=True)
class ShownStage(Stage):
    """Takes the top pictures of the table `directions`, and looks for others at quantiles of the table `norms`."""

    chosen: Mapping[int, tuple[int, ...]]
    """By layer, the neurons that get a page, rising."""
    top: int
    quantiles: tuple[float, ...]
    active: int
    effects: Upstream
    directions: Upstream
    whole: bool = True
    """Whether all neurons of the run are chosen."""
    resources: Resources = Resources()

    kind = "shown"
    writes = ("shown_pictures", "active_neurons")
    unit = "neurons"

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The norms and the top pictures."""
        return (self.effects, self.directions)

    @property
    def identity(self) -> Mapping[str, object]:
        """How many pictures and neurons; which neurons, where not all."""
        some = {} if self.whole else {str(layer): [*own] for layer, own in self.chosen.items()}
        return {
            "top": self.top,
            "quantiles": [*self.quantiles],
            "active": self.active,
            **({"neurons": some} if some else {}),
        }

    def shards(self, run: Run) -> Sequence[Shard]:
        """A shard per layer."""
        return [
            Shard(f"layer-{layer:02d}", len(own), (layer, own))
            for layer, own in self.chosen.items()
        ]

    def loader(self, run: Run) -> "LayerNorms":
        """Reads a layer's norms and top pictures."""
        return LayerNorms(run, self.effects.name, self.directions.name)

    def share(self, run: Run) -> None:
        """Nothing."""

    def build(self, shared: None) -> "ShownWorker":
        """A worker that sorts."""
        return ShownWorker(self.top, self.quantiles, self.active)


@dataclass(frozen=True)
class LayerRows:
    """What is known of a layer's neurons on all usable pictures."""

    layer: int
    neurons: Int[np.ndarray, "neuron"]
    images: Int[np.ndarray, "image"]
    """Numbers of the usable pictures, rising."""
    norms: Float[np.ndarray, "image neuron"]
    """As they are stored, in float32 or float16."""
    thresholds: Float[np.ndarray, "neuron"]
    """Rounded as the norms are: rounding keeps order, so that a norm that reaches its threshold still does."""
    top_images: Int[np.ndarray, "neuron top"]
    top_norms: Float[np.ndarray, "neuron top"]


@dataclass(frozen=True)
class LayerNorms:
    """Reads the chosen neurons of a layer."""

    run: Run
    effects: str
    directions: str

    def load(self, shard: Shard) -> LayerRows:
        """Norms of all usable pictures, a shard of them in memory at a time beside the result."""
        layer, chosen = shard.payload
        neurons = np.array(chosen, np.int64)
        column, images, norms = f"layer_{layer}", [], []
        for _, rows in self.run.scan(self.effects, "norms", columns=["index", "status", column]):
            good = rows.filter(pc.equal(rows["status"], "ok"))
            if not good.num_rows:
                continue
            images.append(good["index"].to_numpy())
            norms.append(tensor(good[column]).numpy().reshape(good.num_rows, -1)[:, neurons])
        columns = ["neuron", "threshold", "top_images", "top_norms"]
        own = [("layer", "==", layer)]
        known = self.run.read(self.directions, "directions", columns=columns, filters=own)
        rows = known.sort_by("neuron").take(pa.array(neurons))
        index = np.concatenate(images)
        order = np.argsort(index, kind="stable")
        found = np.concatenate(norms)[order]
        return LayerRows(
            layer,
            neurons,
            index[order],
            found,
            rows["threshold"].to_numpy().astype(found.dtype).astype(np.float32),
            tensor(rows["top_images"]).numpy(),
            tensor(rows["top_norms"]).numpy(),
        )


@dataclass(frozen=True)
class ShownWorker:
    """Chooses the pictures of one layer's neurons after another."""

    top: int
    quantiles: tuple[float, ...]
    active: int

    def process(self, loaded: LayerRows, advance: Advance) -> Output:
        """The tables `shown_pictures` and `active_neurons`."""
        shown, active = self._shown(loaded), self._active(loaded)
        advance(len(loaded.neurons))
        return Output({"shown_pictures": shown, "active_neurons": active})

    def _shown(self, loaded: LayerRows) -> pa.Table:
        """Top pictures first, then those at falling quantiles; by neuron and place."""
        top = loaded.top_images[:, : self.top]
        quantiles = self.quantiles if len(loaded.images) else ()
        at = self._at(loaded, quantiles)
        images = np.concatenate([top, loaded.images[at] if len(quantiles) else at], axis=1)
        norms = [loaded.top_norms[:, : self.top], np.take_along_axis(loaded.norms, at.T, axis=0).T]
        given = [*[np.nan] * top.shape[1], *quantiles]
        neuron, place = np.nonzero(images >= 0)
        quantile = np.array(given, np.float32)[place]
        columns = {
            "layer": np.full(len(neuron), loaded.layer, np.int16),
            "neuron": loaded.neurons[neuron].astype(np.int32),
            "place": place.astype(np.int16),
            "quantile": pa.array(quantile, mask=np.isnan(quantile)),
            "index": images[neuron, place],
            "norm": np.concatenate(norms, axis=1)[neuron, place].astype(np.float32),
        }
        return table_of(columns, tables.schema("shown_pictures"))

    def _at(self, loaded: LayerRows, quantiles: Sequence[float]) -> Int[np.ndarray, "neuron at"]:
        """Rows of the pictures at these quantiles of each neuron's norms; of equal ones, the first is smaller."""
        places = [int(share * len(loaded.images)) for share in quantiles]
        found = np.empty((len(loaded.neurons), len(places)), np.int64)
        for start in range(0, len(found), BLOCK):
            some = slice(start, start + BLOCK)
            norms = loaded.norms[:, some].astype(np.float32, copy=False)
            found[some] = np.argsort(norms, axis=0, kind="stable")[places].T
        return found

    def _active(self, loaded: LayerRows) -> pa.Table:
        """Of every picture, the neurons with the greatest norms over their thresholds, as far as these are reached."""
        schema = tables.schema("active_neurons")
        parts = [
            table_of(self._most_active(loaded, slice(start, start + BLOCK)), schema)
            for start in range(0, len(loaded.images), BLOCK)
        ]
        return pa.concat_tables([schema.empty_table(), *parts])

    def _most_active(self, loaded: LayerRows, some: slice) -> dict[str, object]:
        usable = np.isfinite(loaded.thresholds) & (loaded.thresholds > 0)
        norms = loaded.norms[some].astype(np.float32, copy=False)
        excess = np.where(usable, norms / np.where(usable, loaded.thresholds, 1), 0)
        best = np.argsort(-excess, axis=1, kind="stable")[:, : self.active]
        values = np.take_along_axis(excess, best, axis=1)
        image, place = np.nonzero(values >= 1)
        return {
            "index": loaded.images[some][image],
            "layer": np.full(len(image), loaded.layer, np.int16),
            "neuron": loaded.neurons[best[image, place]].astype(np.int32),
            "excess": values[image, place].astype(np.float32),
        }
