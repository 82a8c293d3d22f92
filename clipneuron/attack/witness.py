"""Who says what a painted picture shows: never the model under attack."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clipneuron.models.clip.preprocessing.preprocess import PictureError
from clipneuron.models.painting.painter import Order
from clipneuron.readers.lenses import ClipLoader

if TYPE_CHECKING:
    from clipneuron.models.clip.model import Clip


class Witness(Protocol):
    """Whatever can say what a picture shows."""

    @property
    def name(self) -> str:
        """Goes into the table: scene-truth, or the name of a model."""
        ...

    def shows(
        self, names: Sequence[str], orders: Sequence[Order], images: Sequence[bytes]
    ) -> list[list[bool | None]]:
        """For every picture whether each of the classes is seen in it; None where nothing is known."""
        ...


@dataclass(frozen=True)
class OtherClip:
    """A `Witness`: another CLIP than the one under attack, by its ranking of a list of classes.

    A class is seen where it is among the `top` likeliest; of a class that is not on the list nothing is known. It may
    well be taken in by the same cues: its word is a suggestion.
    """

    clip: "Clip"
    classes: tuple[str, ...]
    templates: tuple[str, ...]
    top: int = 2
    batch_size: int = 32

    @classmethod
    def loaded(
        cls, clip: ClipLoader, classes: tuple[str, ...], templates: tuple[str, ...], top: int = 2
    ) -> "OtherClip":
        """The witness with its model, in the worker."""
        return cls(clip(), classes, templates, top)

    @property
    def name(self) -> str:
        """The model's."""
        return self.clip.name

    def shows(
        self, names: Sequence[str], orders: Sequence[Order], images: Sequence[bytes]
    ) -> list[list[bool | None]]:
        """Which of the classes are among the likeliest of each picture; None where it can't be decoded."""
        pixels = list(map(self._decoded, images))
        likeliest = iter(self._likeliest([each for each in pixels if each is not None]))
        return [
            [None] * len(names) if each is None else self._seen(names, next(likeliest))
            for each in pixels
        ]

    def _seen(self, names: Sequence[str], likeliest: frozenset[str]) -> list[bool | None]:
        return [name in likeliest if name in self.classes else None for name in names]

    def _decoded(self, image: bytes) -> NDArray[np.uint8] | None:
        try:
            return self.clip.preprocess.decode(image)
        except PictureError:
            return None

    @torch.inference_mode()
    def _likeliest(self, pixels: Sequence[NDArray[np.uint8]]) -> Iterator[frozenset[str]]:
        """The names of the first classes of each picture."""
        clip, top = self.clip, min(self.top, max(1, len(self.classes) - 1))
        for start in range(0, len(pixels), self.batch_size):
            batch = np.stack(pixels[start : start + self.batch_size])
            embeddings = clip.encode_images(
                clip.preprocess.normalize(batch, clip.device, clip.dtype)
            )
            for places in (
                (embeddings.to(self._classifier) @ self._classifier.T)
                .topk(top, dim=1)
                .indices.tolist()
            ):
                yield frozenset(self.classes[place] for place in places)

    @cached_property
    def _classifier(self) -> Tensor:
        return self.clip.classifier(self.classes, self.templates)
