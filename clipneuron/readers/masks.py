"""Where stages get pictures with their masks from: by description, as pixels alone come, and without torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool

from clipneuron.data.collections import Picture
from clipneuron.data.masks.alignment import fitted, framed
from clipneuron.data.masks.maps import LabelMap, MaskError, MaskReader
from clipneuron.engine.stage import Shard
from clipneuron.lens.options import Alignment
from clipneuron.readers.pictures import Batch, PictureFeed
from clipneuron.store.store import Failure, Run

UNSEEN = "not_seen"
"""Status of a picture in which no class of its masks has a pixel where the model looks."""

Flags = Bool[np.ndarray, "height width"]


class Pair(NamedTuple):
    """A picture, by its place among the good ones of its shard, and a class that has a mask in it."""

    place: int
    name: str
    label: int
    """Number of the class among those that have a text."""


class Framed(NamedTuple):
    """Masks in the size that the model reads."""

    fronts: Bool[np.ndarray, "pair height width"]
    """Known pixels of the pair's class."""
    known: Bool[np.ndarray, "image height width"]


@dataclass(frozen=True)
class MaskedBatch:
    """The pictures of a shard with their masks; one whose masks cannot be used is among the failures."""

    pictures: Batch
    pairs: tuple[Pair, ...]
    present: tuple[frozenset[int], ...]
    """Of each good picture, the numbers of all classes that it shows."""
    framed: Mapping[Alignment, Framed]


@dataclass(frozen=True)
class Masked:
    """One picture's masks."""

    names: tuple[str, ...]
    """Of the classes that the model's frame shows."""
    shown: tuple[str, ...]
    """Of all classes in the picture."""
    fronts: Mapping[Alignment, Bool[np.ndarray, "class height width"]]
    known: Mapping[Alignment, Flags]
    note: str
    """What is to be said of them, "" for nothing."""


@dataclass(frozen=True)
class MaskedFeed:
    """A collection and its masks, seen through a model's preprocessing."""

    pictures: PictureFeed
    reader: MaskReader
    listing: pa.Table
    """The rows of `LISTING` of the collection's pictures whose class has a text, or that cannot be used."""
    numbers: Mapping[str, int]
    """Of the classes that have a text, by name."""
    alignments: tuple[Alignment, ...]

    decodes = True
    """On a cluster it works in processes of its own, beside those of the models."""

    def shards(self, run: Run) -> list[Shard]:
        """The shards of the pictures' plan."""
        return self.pictures.shards(run, parts=1)

    def load(self, shard: Shard) -> MaskedBatch:
        """Read and decode one shard; raises as `PictureFeed.load` does."""
        batch = self.pictures.load(shard)
        rows = self._rows(batch.good)
        found: list[Masked | Failure] = [
            self._masked(picture, batch.sizes[picture.image], rows[picture.image])
            for picture in batch.good
        ]
        return self._joined(batch, found)

    def _rows(self, pictures: Sequence[Picture]) -> dict[str, list[dict[str, object]]]:
        wanted = pa.array([picture.image for picture in pictures], pa.string())
        own = self.listing.filter(pc.is_in(self.listing["image"], value_set=wanted))
        found: dict[str, list[dict[str, object]]] = {picture.image: [] for picture in pictures}
        for row in own.to_pylist():
            found[row["image"]].append(row)
        return found

    def _masked(
        self, picture: Picture, size: tuple[int, int], rows: Sequence[Mapping[str, object]]
    ) -> Masked | Failure:
        image = picture.image
        for row in rows:
            if row["status"] != "ok":
                return Failure(image, str(row["status"]), str(row["reason"]))
        try:
            return self._seen(image, fitted(self.reader.read(image), size, image), rows)
        except MaskError as error:
            return Failure(image, error.status, error.reason)

    def _seen(self, image: str, whole: LabelMap, rows: Sequence[Mapping[str, object]]) -> Masked:
        """What the model's frame shows of the masks; raises MaskError where it shows none of the classes."""
        maps = {
            each: framed(whole, self.pictures.preprocess.frame, each) for each in self.alignments
        }
        values = {str(row["class_name"]): int(str(row["value"])) for row in rows}
        fronts = {
            name: {each: found.of(value) for each, found in maps.items()}
            for name, value in values.items()
        }
        names = [name for name, own in fronts.items() if all(front.any() for front in own.values())]
        hidden = [name for name in values if name not in names]
        outside = f"outside of what the model sees: {', '.join(hidden)}" if hidden else ""
        if not names:
            raise MaskError(UNSEEN, f"{image}: {outside}")
        return Masked(
            tuple(names),
            tuple(values),
            {each: np.stack([fronts[name][each] for name in names]) for each in maps},
            {each: ~found.unknown for each, found in maps.items()},
            "; ".join(filter(None, [whole.note, outside])),
        )

    def _joined(self, batch: Batch, found: Sequence[Masked | Failure]) -> MaskedBatch:
        good = [place for place, item in enumerate(found) if isinstance(item, Masked)]
        masked = [item for item in found if isinstance(item, Masked)]
        lost = tuple(item for item in found if isinstance(item, Failure))
        kept = tuple(batch.good[place] for place in good)
        notes = dict(batch.notes)
        for picture, item in zip(kept, masked, strict=True):
            if note := "; ".join(filter(None, [notes.get(picture.image, ""), item.note])):
                notes[picture.image] = note
        joined = replace(
            batch,
            good=kept,
            pixels=batch.pixels[good],
            failures=(*batch.failures, *lost),
            notes=notes,
        )
        pairs = tuple(
            Pair(place, name, self.numbers[name])
            for place, item in enumerate(masked)
            for name in item.names
        )
        present = tuple(frozenset(self.numbers[name] for name in item.shown) for item in masked)
        return MaskedBatch(joined, pairs, present, self._framed(masked))

    def _framed(self, masked: Sequence[Masked]) -> dict[Alignment, Framed]:
        height, width = self.pictures.preprocess.size
        empty = np.empty((0, height, width), np.bool_)
        return {
            each: Framed(
                np.concatenate([empty, *(item.fronts[each] for item in masked)]),
                np.concatenate([empty, *(item.known[each][None] for item in masked)]),
            )
            for each in self.alignments
        }
