"""class-neurons: the neurons that make each class's map of second order, and as many by chance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float

from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.lens.class_neurons import Chosen, along, by_chance
from clipneuron.readers.arrow import table_of, tensor, unchanging
from clipneuron.readers.evidence import Classifier, classifier_of
from clipneuron.readers.segmentation import Directions, directions_of
from clipneuron.store.store import Run
from clipneuron.tables import registry as tables

SHARD = 256
"""Classes per commit."""


@dataclass(frozen=True)
class ClassNeuronsStage(Stage):
    """Ranks the neurons of some layers by the class's text; those whose direction means nothing are passed over."""

    directions: Upstream
    classifier: Upstream
    classes: int
    layers: tuple[int, ...]
    count: int
    seed: int
    resources: Resources = Resources()

    kind = "class-neurons"
    writes = ("class_neurons",)
    unit = "classes"

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The directions and the classes' texts."""
        return (self.directions, self.classifier)

    @property
    def identity(self) -> Mapping[str, object]:
        """How many of which layers, and the dice."""
        return {"layers": self.layers, "count": self.count, "seed": self.seed}

    def shards(self, run: Run) -> Sequence[Shard]:
        """A shard per `SHARD` classes."""
        return [
            Shard(f"{first:06d}", min(SHARD, self.classes - first), first)
            for first in range(0, self.classes, SHARD)
        ]

    def loader(self, run: Run) -> "ClassNeuronsLoader":
        """Hands out the classes."""
        return ClassNeuronsLoader(run, self.classifier.name)

    def share(self, run: Run) -> Directions:
        """The directions of the layers."""
        return directions_of(run, self.directions.name, self.layers)

    def build(self, shared: Directions) -> "ClassNeuronsWorker":
        """A worker on the directions."""
        return ClassNeuronsWorker(self, shared)


@dataclass(frozen=True)
class ClassesOf:
    """Some classes, the first with its number."""

    first: int
    names: tuple[str, ...]
    texts: Float[np.ndarray, "class embed"]


@dataclass(frozen=True)
class ClassNeuronsLoader:
    """Reads the classes of a shard."""

    run: Run
    classifier: str

    def load(self, shard: Shard) -> ClassesOf:
        """Their names and texts."""
        found: Classifier = classifier_of(self.run, self.classifier)
        own = slice(shard.payload, shard.payload + shard.rows)
        return ClassesOf(shard.payload, found.names[own], found.matrix[own])


@dataclass(frozen=True)
class ClassNeuronsWorker:
    """Ranks neurons for one shard of classes after another."""

    stage: ClassNeuronsStage
    known: Directions

    @torch.inference_mode()
    def process(self, loaded: ClassesOf, advance: Advance) -> Output:
        """The table `class_neurons`."""
        directions, usable = unchanging(self.known.matrix), unchanging(self.known.usable)
        texts = unchanging(loaded.texts)
        numbers = torch.arange(loaded.first, loaded.first + len(texts))
        seeds = numbers + self.stage.seed * 1_000_000
        count = self.stage.count
        choices = {
            "class": along(directions, texts, usable, count),
            "chance": by_chance(directions, texts, usable, count, seeds),
        }
        advance(len(texts))
        parts = [self._table(loaded, name, chosen) for name, chosen in choices.items()]
        return Output({"class_neurons": pa.concat_tables(parts)})

    def _table(self, loaded: ClassesOf, choice: str, chosen: Chosen) -> pa.Table:
        classes, count = chosen.places.shape
        places = chosen.places.numpy().ravel()
        rows = len(places)
        columns: dict[str, object] = {
            "label": np.repeat(np.arange(classes, dtype=np.int32) + loaded.first, count),
            "name": pa.array(np.repeat(np.array(loaded.names, dtype=object), count), pa.string()),
            "choice": pa.array([choice] * rows, pa.string()),
            "place": np.tile(np.arange(count, dtype=np.int32), classes),
            "layer": self.known.layer[places],
            "neuron": self.known.neuron[places],
            "projection": chosen.projections.float().numpy().ravel(),
        }
        return table_of(columns, tables.schema("class_neurons"))
