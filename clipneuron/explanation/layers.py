"""What stages that take a layer per shard share: one reads its tables, then computes its own."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage
from clipneuron.store.store import Run


@dataclass(frozen=True, kw_only=True)
class LayerStage(Stage):
    """A stage over the neurons of single layers."""

    layers: tuple[int, ...]
    neurons: int
    resources: Resources = Resources()

    unit = "neurons"

    def shards(self, run: Run) -> Sequence[Shard]:
        """A shard per layer."""
        return [Shard(f"layer-{layer:02d}", self.neurons, layer) for layer in self.layers]

    def loader(self, run: Run) -> "LayerLoader":
        """Reads a layer's tables."""
        return LayerLoader(self, run)

    def share(self, run: Run) -> Any:
        """Nothing, unless a stage says otherwise."""

    def build(self, shared: Any) -> "LayerWorker":
        """A worker on what is shared."""
        return LayerWorker(self, shared)

    @abstractmethod
    def read(self, run: Run, layer: int) -> Any:
        """What is needed of a layer."""

    @abstractmethod
    def tables(self, shared: Any, layer: int, loaded: Any) -> Mapping[str, pa.Table]:
        """The tables of a layer."""


@dataclass(frozen=True)
class LayerLoader:
    """Reads one layer after another."""

    stage: LayerStage
    run: Run

    def load(self, shard: Shard) -> tuple[int, Any]:
        """The layer and what is needed of it."""
        return shard.payload, self.stage.read(self.run, shard.payload)


@dataclass(frozen=True)
class LayerWorker:
    """Computes one layer after another."""

    stage: LayerStage
    shared: Any

    def process(self, loaded: tuple[int, Any], advance: Advance) -> Output:
        """The tables of a layer."""
        layer, read = loaded
        found = self.stage.tables(self.shared, layer, read)
        advance(self.stage.neurons)
        return Output(found)
