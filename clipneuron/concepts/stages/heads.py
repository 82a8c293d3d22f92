"""head-texts: the texts whose span holds most of what each attention head writes (TextSpan)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from einops import einsum
from jaxtyping import Float

from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.lens.words.textspan import Spans, covariances, spans
from clipneuron.readers.arrow import list_column, table_of, tensor, unchanging
from clipneuron.readers.sweep import PreparedTexts, prepared_texts
from clipneuron.store.store import Run
from clipneuron.tables import registry as tables


@dataclass(frozen=True, kw_only=True)
class HeadTextsStage(Stage):
    """Finds the texts of the heads of the last layers, all from the same few pictures."""

    effects: Upstream
    texts: Upstream
    layers: tuple[int, ...]
    """The last layers, as the effects have them."""
    heads: int
    """Of a layer."""
    embed: int
    count: int
    """Texts of a head."""
    resources: Resources = Resources()

    kind = "head-texts"
    writes = ("head_texts",)
    unit = "heads"

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The effects and the encoded pool."""
        return (self.effects, self.texts)

    @property
    def identity(self) -> Mapping[str, object]:
        """How many texts."""
        return {"count": self.count}

    def shards(self, run: Run) -> Sequence[Shard]:
        """A shard per layer."""
        return [
            Shard(f"layer-{layer:02d}", self.heads, place)
            for place, layer in enumerate(self.layers)
        ]

    def loader(self, run: Run) -> "HeadEffects":
        """Reads the effects of a layer."""
        shape = (len(self.layers), self.heads, self.embed)
        return HeadEffects(run, self.effects.name, shape)

    def share(self, run: Run) -> PreparedTexts:
        """The texts, of unit norm."""
        return prepared_texts(run, self.texts.name, "unit")

    def build(self, shared: PreparedTexts) -> "HeadTextsWorker":
        """A worker on the texts."""
        return HeadTextsWorker(self, shared)


@dataclass(frozen=True)
class HeadEffects:
    """Reads what the heads of one layer write on all pictures of the sample."""

    run: Run
    stage: str
    shape: tuple[int, int, int]

    def load(self, shard: Shard) -> tuple[int, Float[np.ndarray, "image head embed"]]:
        """The layer's place and the effects of its heads; ValueError where no picture could be used."""
        rows = self.run.read(self.stage, "direct_effects", columns=["index", "effects"])
        if not rows.num_rows:
            raise ValueError("attention heads get texts from pictures, and none could be used")
        every = tensor(rows.sort_by("index")["effects"]).view(-1, *self.shape)
        return shard.payload, every[:, shard.payload].numpy()


class HeadTextsWorker:
    """Finds the texts of one layer's heads after another."""

    def __init__(self, stage: HeadTextsStage, shared: PreparedTexts) -> None:
        self.stage, self.words, self.texts = stage, shared.words, unchanging(shared.matrix)

    @torch.inference_mode()
    def process(
        self, loaded: tuple[int, Float[np.ndarray, "image head embed"]], advance: Advance
    ) -> Output:
        """The table `head_texts`."""
        place, array = loaded
        effects = unchanging(array)
        found = spans(covariances(effects), self.texts, self.stage.count)
        offsets = einsum(
            effects.mean(0), found.directions, "head embed, head place embed -> head place"
        )
        advance(self.stage.heads)
        return Output({"head_texts": self._table(self.stage.layers[place], found, offsets)})

    def _table(
        self, layer: int, found: Spans, offsets: Float[torch.Tensor, "head place"]
    ) -> pa.Table:
        head, place = (found.indices >= 0).nonzero(as_tuple=True)
        chosen = found.indices[head, place].numpy()
        columns = {
            "layer": np.full(len(chosen), layer, np.int16),
            "head": head.numpy().astype(np.int16),
            "place": place.numpy().astype(np.int16),
            "text": pa.array([self.words[index] for index in chosen.tolist()], pa.string()),
            "text_index": chosen.astype(np.int32),
            "share": found.shares[head, place].float().numpy(),
            "direction": list_column(found.directions[head, place], pa.list_(pa.float32())),
            "offset": offsets[head, place].float().numpy(),
        }
        return table_of(columns, tables.schema("head_texts"))
