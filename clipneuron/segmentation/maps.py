"""Maps of pictures for classes by number, by several methods in one pass: for stages, reports and single pictures."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from clipneuron.lens.attribution.methods import METHODS, Choice
from clipneuron.models.clip.attribution import attribute
from clipneuron.readers.arrow import unchanging
from clipneuron.readers.evidence import Classifier
from clipneuron.readers.pictures import Pixels
from clipneuron.readers.segmentation import NeuronWeights

if TYPE_CHECKING:
    from clipneuron.models.clip.model import Clip


@dataclass(frozen=True)
class Known:
    """What maps are made by besides the model: the classes' texts, and the neurons of each class by choice."""

    classes: Classifier
    neurons: Mapping[Choice, NeuronWeights]


@dataclass(frozen=True)
class Maps:
    """Makes maps with a model."""

    clip: "Clip"
    known: Known
    methods: tuple[str, ...]
    batch_size: int

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        rows, columns = self._wide.visual.grid_size
        return rows, columns

    @torch.no_grad()
    def predicted(self, pixels: Pixels) -> Int[Tensor, "image"]:
        """The number of the class whose text each picture is nearest to."""
        clip = self.clip
        read = clip.preprocess.normalize(pixels, clip.device, clip.dtype)
        return (clip.encode_images(read).float() @ self._texts.T).argmax(1).cpu()

    def of(
        self, pixels: Pixels, pictures: Int[Tensor, "map"], labels: Int[Tensor, "map"]
    ) -> dict[str, Float[Tensor, "map patch"]]:
        """By each method the maps of these pictures, by their places, for the texts of these classes, on the CPU."""
        size = self.batch_size
        parts = [
            self._some(pixels, pictures[first : first + size], labels[first : first + size])
            for first in range(0, len(pictures), size)
        ]
        return {name: torch.cat([part[name] for part in parts]) for name in self.methods}

    def _some(self, pixels: Pixels, pictures: Tensor, labels: Tensor) -> dict[str, Tensor]:
        clip = self._wide
        read = clip.preprocess.normalize(pixels[pictures.numpy()], clip.device, clip.dtype)
        own = labels.to(clip.device)
        texts = self._texts[own].to(clip.dtype)
        found = attribute(
            clip.visual,
            clip.weights,
            read,
            texts,
            self.methods,
            neurons=dict(self._neurons(own)),
            others=self._texts.mean(0).expand_as(texts).to(clip.dtype),
        )
        return {name: maps.float().cpu() for name, maps in found.items()}

    def _neurons(self, labels: Tensor) -> Iterator[tuple[str, dict[int, Tensor]]]:
        for name in self.methods:
            choice = METHODS[name].choice
            if choice is not None:
                weights = self._weights[choice].items()
                yield name, {layer: matrix[labels] for layer, matrix in weights}

    @cached_property
    def _wide(self) -> "Clip":
        """Differences of scores are lost in half precision."""
        return self.clip.widened()

    @cached_property
    def _texts(self) -> Float[Tensor, "class embed"]:
        return unchanging(self.known.classes.matrix).to(self.clip.device)

    @cached_property
    def _weights(self) -> dict[Choice, dict[int, Float[Tensor, "class neuron"]]]:
        shape = len(self.known.classes.names), self.clip.neurons
        dense = {choice: own.dense(*shape) for choice, own in self.known.neurons.items()}
        return {
            choice: {layer: matrix.to(self.clip.device) for layer, matrix in own.items()}
            for choice, own in dense.items()
        }


def choices_of(methods: Sequence[str]) -> tuple[Choice, ...]:
    """How the neurons of these methods are chosen, each way once."""
    found = (METHODS[name].choice for name in methods)
    return tuple(dict.fromkeys(choice for choice in found if choice is not None))
