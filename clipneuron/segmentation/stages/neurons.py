"""class-neurons: the neurons that make each class's maps of second order, and what each of them counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.lens.attribution.methods import Choice
from clipneuron.readers.evidence import Classifier, classifier_of
from clipneuron.readers.segmentation import directions_of, neurons_of, weights_table
from clipneuron.store.store import Run

SHARD = "classes"


@dataclass(frozen=True)
class ClassNeuronsStage(Stage):
    """Ranks the neurons of some layers by each class's text. One shard: the dice are thrown for all classes at once."""

    directions: Upstream
    classifier: Upstream
    classes: int
    layers: tuple[int, ...]
    count: int
    choices: tuple[Choice, ...]
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
        """How many of which layers, how they are chosen, and the dice."""
        count = {"layers": self.layers, "count": self.count}
        return {**count, "choices": self.choices, "seed": self.seed}

    def shards(self, run: Run) -> Sequence[Shard]:
        """A single one."""
        return [Shard(SHARD, self.classes)]

    def loader(self, run: Run) -> "ClassNeuronsLoader":
        """Reads directions and classes."""
        return ClassNeuronsLoader(run, self.directions.name, self.classifier.name, self.layers)

    def share(self, run: Run) -> None:
        """Nothing: the only shard reads everything."""

    def build(self, shared: None) -> "ClassNeuronsWorker":
        """A worker."""
        return ClassNeuronsWorker(self)


@dataclass(frozen=True)
class Known:
    """The classes and the directions of the layers."""

    classes: Classifier
    directions: Mapping[int, Float[np.ndarray, "neuron embed"]]


@dataclass(frozen=True)
class ClassNeuronsLoader:
    """Reads what neurons are chosen by."""

    run: Run
    directions: str
    classifier: str
    layers: tuple[int, ...]

    def load(self, shard: Shard) -> Known:
        """All of it."""
        classes = classifier_of(self.run, self.classifier)
        return Known(classes, directions_of(self.run, self.directions, self.layers))


@dataclass(frozen=True)
class ClassNeuronsWorker:
    """Ranks neurons."""

    stage: ClassNeuronsStage

    @torch.inference_mode()
    def process(self, loaded: Known, advance: Advance) -> Output:
        """The table `class_neurons`."""
        stage, classes = self.stage, loaded.classes
        chosen = neurons_of(classes, loaded.directions, stage.choices, stage.count, stage.seed)
        advance(stage.classes)
        return Output({"class_neurons": weights_table(classes.names, chosen)})
