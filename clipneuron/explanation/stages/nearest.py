"""nearest-words: the texts that a neuron's direction is nearest to, one by one, without a pursuit."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float

from clipneuron.engine.stage import Upstream
from clipneuron.explanation.layers import LayerStage
from clipneuron.lens.options import Preparation
from clipneuron.lens.words.truth import Words
from clipneuron.readers.arrow import tensor, unchanging
from clipneuron.readers.explanation import layer_words
from clipneuron.readers.sweep import PreparedTexts, prepared_texts
from clipneuron.store.store import Run


@dataclass(frozen=True, kw_only=True)
class NearestWordsStage(LayerStage):
    """The texts of the greatest absolute cosine, each with its cosine as its weight."""

    texts: Upstream
    directions: Upstream
    words: int
    preparation: Preparation

    kind = "nearest-words"
    writes = ("neuron_words",)

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The directions and the encoded pool."""
        return (self.directions, self.texts)

    @property
    def identity(self) -> Mapping[str, object]:
        """How many words, and how texts are prepared."""
        return {"words": self.words, "preparation": self.preparation, "layers": self.layers}

    def share(self, run: Run) -> PreparedTexts:
        """The prepared text matrix."""
        return prepared_texts(run, self.texts.name, self.preparation)

    def read(self, run: Run, layer: int) -> Float[np.ndarray, "neuron embed"]:
        """The directions of a layer."""
        columns, own = ["neuron", "direction"], [("layer", "==", layer)]
        rows = run.read(self.directions.name, "directions", columns=columns, filters=own)
        found: Float[np.ndarray, "neuron embed"] = tensor(
            rows.sort_by("neuron")["direction"]
        ).numpy()
        return found

    def tables(
        self, shared: PreparedTexts, layer: int, loaded: Float[np.ndarray, "neuron embed"]
    ) -> Mapping[str, pa.Table]:
        """The table `neuron_words`."""
        units = torch.nn.functional.normalize(unchanging(shared.matrix), dim=1)
        cosines = unchanging(loaded) @ units.T
        found = cosines.abs().topk(min(self.words, len(units)), dim=1).indices
        words = Words(found, cosines.gather(1, found))
        return {"neuron_words": layer_words(layer, words, shared.words)}
