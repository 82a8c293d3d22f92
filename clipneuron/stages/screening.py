"""screening: what another witness than the model sees in each picture: suggestions for the review, never decisions."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import pyarrow as pa
import torch
from torch import Tensor

from clipneuron.models.clip import Clip
from clipneuron.models.pixels import PictureError
from clipneuron.models.text_to_image import Order
from clipneuron.sources import ClipLoader
from clipneuron.stage import Advance, Output, Resources, Shard
from clipneuron.storage import tables
from clipneuron.storage.experiments import METHODS, Experiment, Pair, experiments
from clipneuron.storage.store import Run


class Witness(Protocol):
    """Whatever can say what a picture shows."""

    @property
    def name(self) -> str:
        """Goes into the table: scene-truth, or the name of a model."""
        ...

    def shows(
        self, names: Sequence[str], orders: Sequence[Order], images: Sequence[bytes]
    ) -> list[list[bool | None]]:
        """For every picture whether each of the classes is seen in it; None where nothing can be said."""
        ...


@dataclass(frozen=True, kw_only=True)
class ScreeningStage:
    """Asks a witness about the pictures of one experiment per shard."""

    witness: Callable[[], Witness]
    pairs: tuple[Pair, ...]
    methods: tuple[str, ...] = METHODS
    repeats: int = 3
    size: int = 100
    """Pictures of an experiment; there may be fewer."""
    pictures: str = "pictures"
    name: str = "screening"
    resources: Resources = Resources()

    writes = ("screening",)
    unit = "pictures"

    @property
    def reads(self) -> tuple[str, ...]:
        """The pictures."""
        return (self.pictures,)

    def shards(self, run: Run) -> Sequence[Shard]:
        """A shard per experiment."""
        found = experiments(self.pairs, self.methods, self.repeats)
        return [Shard(one.key, self.size, one) for one in found]

    def loader(self, run: Run) -> "ScreeningLoader":
        """Reads pictures."""
        return ScreeningLoader(self.pictures, run)

    def share(self, run: Run) -> None:
        """Nothing but the witness, which the stage brings along."""

    def build(self, shared: None) -> "ScreeningWorker":
        """A worker with the witness."""
        return ScreeningWorker(self)


@dataclass(frozen=True)
class ScreeningLoader:
    """Reads an experiment's pictures and what they were painted from."""

    pictures: str
    run: Run

    def load(self, shard: Shard) -> tuple[Experiment, list[dict[str, Any]]]:
        """The experiment and a row per picture."""
        columns = ["picture", "caption", "seed", "image", "status"]
        rows = self.run.read(self.pictures, "pictures", shards=[shard.name], columns=columns)
        return shard.payload, rows.to_pylist()


class ScreeningWorker:
    """Screens one experiment after another."""

    def __init__(self, stage: ScreeningStage) -> None:
        self.stage, self.witness = stage, stage.witness()

    def process(self, loaded: tuple[Experiment, list[dict[str, Any]]], advance: Advance) -> Output:
        """The table `screening`; of a picture that there is not, nothing is said."""
        one, pictures = loaded
        good = [row for row in pictures if row["status"] == "ok"]
        orders = [Order(row["caption"], row["seed"]) for row in good]
        seen = self.witness.shows(one.pair, orders, [row["image"] for row in good])
        said = {row["picture"]: answer for row, answer in zip(good, seen, strict=True)}
        rows = []
        for row in pictures:
            shows_c1, shows_c2 = said.get(row["picture"], (None, None))
            shown = {"shows_c1": shows_c1, "shows_c2": shows_c2, "by": self.witness.name}
            rows.append({"picture": row["picture"], **one.columns, **shown})
        advance(self.stage.size)
        table = pa.Table.from_pylist(rows, schema=tables.schema("screening"))
        return Output({"screening": table})


@dataclass(frozen=True)
class OtherClip:
    """A `Witness`: another CLIP than the one under attack, by its ranking of a list of classes.

    A class is seen where it is among the `top` likeliest; of a class that is not on the list nothing is said. It may
    well be taken in by the same cues: its word is a suggestion.
    """

    clip: Clip
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

    def _decoded(self, image: bytes) -> Tensor | None:
        try:
            return self.clip.preprocess.decode(image)
        except PictureError:
            return None

    @torch.inference_mode()
    def _likeliest(self, pixels: Sequence[Tensor]) -> Iterator[frozenset[str]]:
        """The names of the first classes of each picture."""
        clip, top = self.clip, min(self.top, len(self.classes))
        for start in range(0, len(pixels), self.batch_size):
            batch = torch.stack(tuple(pixels[start : start + self.batch_size]))
            embeddings = clip.encode_images(
                clip.preprocess.normalize(batch, clip.device, clip.dtype)
            )
            for places in (embeddings @ self._classifier.T).topk(top, dim=1).indices.tolist():
                yield frozenset(self.classes[place] for place in places)

    @cached_property
    def _classifier(self) -> Tensor:
        return self.clip.classifier(self.classes, self.templates)
