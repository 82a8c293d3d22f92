"""first_order: what attention layers and heads write straight to the output, held at their means (Fig. 10, 11)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.lens.ablations import cumulative_ablations, representations
from clipneuron.lens.first_order import head_effects
from clipneuron.lens.options import Split
from clipneuron.lens.trace import Trace
from clipneuron.readers.arrow import list_column, table_of, unchanging
from clipneuron.readers.evidence import classifier_of, first_order_means
from clipneuron.readers.feeding import fed
from clipneuron.readers.lenses import ClipLoader, trace_of
from clipneuron.readers.pictures import Batch, PictureFeed, Pixels
from clipneuron.readers.predictions import Predictions
from clipneuron.readers.sweep import grown
from clipneuron.store.store import Run
from clipneuron.tables import registry as tables
from clipneuron.tables.ablations import NONE, Ablation

if TYPE_CHECKING:
    from clipneuron.models.clip.model import Clip

Heads = Float[Tensor, "layer head embed"]


@dataclass(frozen=True)
class HeadEffects:
    """The first-order effects of all heads, as one forward pass gives them."""

    clip: ClipLoader
    pictures: PictureFeed
    split: Split
    normalize: bool
    batch_size: int

    def of(
        self, clip: "Clip", pixels: Pixels | Tensor
    ) -> tuple[Trace, Float[Tensor, "image layer head embed"]]:
        """The trace of uint8 pixels, and its heads' effects."""
        trace = trace_of(clip, pixels, [], first_order=True)
        weights = clip.weights
        return trace, head_effects(weights, trace, split=self.split, normalize=self.normalize)


@dataclass(frozen=True)
class FirstOrderMeansStage(Stage):
    """Sums every head's effect over the pictures of the sweep."""

    effects: HeadEffects
    plan: Upstream
    parts: int = 1
    resources: Resources = Resources(pool="clip")

    kind = "first-order-means"
    writes = ("first_order_means",)
    unit = "images"

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The pictures."""
        return (self.plan,)

    @property
    def identity(self) -> Mapping[str, object]:
        """Nothing before the collection has grown; then how many parts of the plan there are."""
        return grown(self.parts)

    def shards(self, run: Run) -> Sequence[Shard]:
        """The shards of the plan's first `parts` parts."""
        return self.effects.pictures.shards(run, self.parts)

    def loader(self, run: Run) -> PictureFeed:
        """Reads and decodes pictures."""
        return self.effects.pictures

    def share(self, run: Run) -> None:
        """Nothing but the model, which the stage brings along."""

    def build(self, shared: None) -> "FirstOrderMeansWorker":
        """A worker with the model."""
        return FirstOrderMeansWorker(self.effects)


class FirstOrderMeansWorker:
    """Sums one shard after another."""

    def __init__(self, effects: HeadEffects) -> None:
        self.effects, self.clip = effects, effects.clip()

    @torch.inference_mode()
    def process(self, loaded: Batch, advance: Advance) -> Output:
        """The table `first_order_means`."""
        weights = self.clip.weights
        shape = weights.layers, weights.heads, weights.embed
        sums = torch.zeros(shape, dtype=torch.float64, device=self.clip.device)
        for pictures, pixels in fed(loaded, self.effects.batch_size, self.clip.device):
            sums += self.effects.of(self.clip, pixels)[1].sum(0, dtype=torch.float64)
            advance(len(pictures))
        advance(len(loaded.failures))
        columns = {
            **_head_columns(weights.layers, weights.heads, len(loaded.good)),
            "effect": list_column(sums.flatten(0, 1), pa.list_(pa.float64())),
        }
        table = table_of(columns, tables.schema("first_order_means"))
        return Output({"first_order_means": table}, loaded.failures)


@dataclass(frozen=True)
class FirstOrderStage(Stage):
    """Ablates the effects of attention layers, and of heads, from the first on, over labelled pictures."""

    effects: HeadEffects
    plan: Upstream
    """Of the labelled pictures."""
    means: Upstream
    classifier: Upstream
    resources: Resources = Resources(pool="clip")

    kind = "first-order"
    writes = ("predictions", "first_order")
    unit = "images"

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The pictures, the means and the classifier."""
        return (self.plan, self.means, self.classifier)

    def shards(self, run: Run) -> Sequence[Shard]:
        """The shards of the labelled pictures."""
        return self.effects.pictures.shards(run, parts=1)

    def loader(self, run: Run) -> PictureFeed:
        """Reads and decodes pictures."""
        return self.effects.pictures

    def share(self, run: Run) -> Mapping[str, Float[np.ndarray, "..."]]:
        """The classifier and the heads' mean effects."""
        means = first_order_means(run, self.means.name)
        return {
            "classifier": classifier_of(run, self.classifier.name).matrix,
            "means": means.numpy(),
        }

    def build(self, shared: Mapping[str, Float[np.ndarray, "..."]]) -> "FirstOrderWorker":
        """A worker with the model and the means."""
        return FirstOrderWorker(self.effects, shared["classifier"], shared["means"])


class FirstOrderWorker:
    """Ablates one shard after another."""

    def __init__(
        self,
        effects: HeadEffects,
        classifier: Float[np.ndarray, "class embed"],
        means: Float[np.ndarray, "layer head embed"],
    ) -> None:
        self.effects, self.clip = effects, effects.clip()
        self.classifier = unchanging(classifier).to(self.clip.device)
        self.means = unchanging(means).to(self.clip.device)

    @torch.inference_mode()
    def process(self, loaded: Batch, advance: Advance) -> Output:
        """The tables `predictions` and `first_order`."""
        predictions = Predictions(self.classifier)
        squares = self.means.new_zeros(self.means.shape[:2])
        for pictures, pixels in fed(loaded, self.effects.batch_size, self.clip.device):
            trace, effects = self.effects.of(self.clip, pixels)
            before = representations(trace, normalize=self.effects.normalize)
            predictions.add(_ablated(before, effects, self.means.to(effects)))
            squares += (effects - self.means).square().sum((0, 3))
            del trace, effects  # before the next batch passes: activations take gigabytes
            advance(len(pictures))
        advance(len(loaded.failures))
        columns = {
            **_head_columns(squares.shape[0], squares.shape[1], len(loaded.good)),
            "square_sum": squares.flatten().double().cpu().numpy(),
        }
        sizes = table_of(columns, tables.schema("first_order"))
        found = {"predictions": predictions.table(loaded), "first_order": sizes}
        return Output(found, loaded.failures)


def _ablated(
    before: Float[Tensor, "image embed"],
    effects: Float[Tensor, "image layer head embed"],
    means: Heads,
) -> dict[Ablation, Tensor]:
    """The representations before any cut and after each."""
    layers = cumulative_ablations(before, effects.sum(2), means.sum(1))
    heads = cumulative_ablations(before, effects.flatten(1, 2), means.flatten(0, 1))
    count = effects.shape[2]
    by_layer = {Ablation("attention", n): rows for n, rows in enumerate(layers[1:])}
    by_head = {Ablation("heads", n // count, n % count): rows for n, rows in enumerate(heads[1:])}
    return {NONE: before} | by_layer | by_head


def _head_columns(layers: int, heads: int, count: int) -> dict[str, pa.Array]:
    return {
        "layer": pa.array(np.repeat(np.arange(layers, dtype=np.int16), heads)),
        "head": pa.array(np.tile(np.arange(heads, dtype=np.int16), layers)),
        "count": pa.array(np.full(layers * heads, count, np.int64)),
    }
