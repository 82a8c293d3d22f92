"""indirect_ablations: what the classifier says with a whole layer's neurons held at their means (Table 1)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.lens.indirect import layer_indirect_effect
from clipneuron.models.clip.interventions import halted, resume
from clipneuron.models.clip.model import Clip
from clipneuron.readers.arrow import unchanging
from clipneuron.readers.evidence import ActivationMeans, activation_means, classifier_of
from clipneuron.readers.feeding import fed
from clipneuron.readers.lenses import ClipLoader
from clipneuron.readers.pictures import Batch, PictureFeed, Pixels
from clipneuron.readers.predictions import Predictions
from clipneuron.store.store import Run
from clipneuron.tables.ablations import NONE, Ablation


@dataclass(frozen=True)
class IndirectAblationsStage(Stage):
    """Holds whole layers at their mean activations over labelled pictures and classifies what comes out."""

    clip: ClipLoader
    pictures: PictureFeed
    layers: tuple[int, ...]
    batch_size: int
    plan: Upstream
    """Of the labelled pictures."""
    means: Upstream
    classifier: Upstream
    resources: Resources = Resources(pool="clip")

    kind = "indirect-ablations"
    writes = ("predictions",)
    unit = "images"

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The pictures, the means and the classifier."""
        return (self.plan, self.means, self.classifier)

    @property
    def identity(self) -> Mapping[str, object]:
        """The layers."""
        return {"layers": self.layers}

    def shards(self, run: Run) -> Sequence[Shard]:
        """The shards of the labelled pictures."""
        return self.pictures.shards(run, parts=1)

    def loader(self, run: Run) -> PictureFeed:
        """Reads and decodes pictures."""
        return self.pictures

    def share(self, run: Run) -> tuple[Float[np.ndarray, "class embed"], ActivationMeans]:
        """The classifier and the mean activations."""
        return classifier_of(run, self.classifier.name).matrix, activation_means(
            run, self.means.name
        )

    def build(
        self, shared: tuple[Float[np.ndarray, "class embed"], ActivationMeans]
    ) -> "IndirectAblationsWorker":
        """A worker with the model and the means."""
        return IndirectAblationsWorker(self, self.clip(), *shared)


class IndirectAblationsWorker:
    """Ablates one shard after another."""

    def __init__(
        self,
        stage: IndirectAblationsStage,
        clip: Clip,
        classifier: Float[np.ndarray, "class embed"],
        means: ActivationMeans,
    ) -> None:
        self.stage, self.clip = stage, clip
        self.classifier = unchanging(classifier).to(clip.device)
        self.means = {layer: unchanging(mean).to(clip.device) for layer, mean in means.items()}

    @torch.inference_mode()
    def process(self, loaded: Batch, advance: Advance) -> Output:
        """The table `predictions`."""
        predictions = Predictions(self.classifier)
        for pictures, pixels in fed(loaded, self.stage.batch_size, self.clip.device):
            predictions.add(self._ablated(pixels))
            advance(len(pictures))
        advance(len(loaded.failures))
        return Output({"predictions": predictions.table(loaded)}, loaded.failures)

    def _ablated(self, pixels: Pixels | Tensor) -> dict[Ablation, Float[Tensor, "image embed"]]:
        clip = self.clip
        normalized = clip.preprocess.normalize(pixels, clip.device, clip.dtype)
        found: dict[Ablation, Tensor] = {}
        _, halts = halted(clip.visual, normalized, self.stage.layers)
        for layer, halt in halts.items():
            writes = clip.weights.blocks[layer].neuron_writes
            rest = partial(resume, clip.visual, layer)
            effect = layer_indirect_effect(halt, writes, self.means[layer], rest, normalize=False)
            # Not divided by anything: a class is chosen by the angle alone.
            found[Ablation("indirect", layer)] = halt.embeddings - effect
            found[NONE] = halt.embeddings
        return found
