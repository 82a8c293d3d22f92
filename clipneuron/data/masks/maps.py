"""What masks are here: a listing of which classes each picture has, and a reader of label maps.

A mask that cannot be used raises nothing while they are listed. It is a row with a status:

    ok         the picture has this class
    no_mask    there is none for this picture
    no_object  there is a mask, and nothing of a class that has a name is in it
    no_class   there is a mask, and no name for what it is of
    ambiguous  there are several
    or that of its file: missing, empty, not_an_image, truncated, corrupt, too_large, other_values

and where it is read later, `MaskError` has one of these, or `other_size` from `clipneuron.data.masks.alignment`.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Int32
from numpy.typing import NDArray

BACKGROUND = -1
"""The value of pixels that are of no class."""

LISTING = pa.schema(
    [
        ("image", pa.string()),
        ("class_name", pa.string()),
        ("value", pa.int32()),
        ("area", pa.int64()),
        ("status", pa.string()),
        ("reason", pa.string()),
    ]
)
"""A row for each picture and class in it, and one for each picture that has none; `area` in pixels of the mask, null
where that takes reading it."""


class MaskError(ValueError):
    """A mask that cannot be used: `status` is one word to count by, `reason` a sentence for people."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True, eq=False)
class LabelMap:
    """Which class each pixel of a picture is of."""

    labels: Int32[np.ndarray, "height width"]
    """Values of the listing, `BACKGROUND` elsewhere."""
    unknown: Bool[np.ndarray, "height width"]
    """Pixels of which nobody says what they are: they count neither for nor against anything."""
    covered: Mapping[int, Bool[np.ndarray, "height width"]] = field(default_factory=dict)
    """By value, pixels of a class that bear another's label as well: objects of COCO overlap."""
    note: str = ""
    """What is to be said of how it was made to fit, "" for nothing."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.labels.shape
        return height, width

    def of(self, value: int) -> Bool[np.ndarray, "height width"]:
        """The known pixels of the class with this value."""
        own: NDArray[np.bool_] = (self.labels == value) & ~self.unknown
        if value in self.covered:
            own |= self.covered[value] & ~self.unknown
        return own


class MaskReader(Protocol):
    """Reads the masks of pictures; small and picklable."""

    def read(self, image: str) -> LabelMap:
        """The label map of a picture; raises MaskError, and PlaceError where the place is in trouble."""
        ...


@dataclass(frozen=True, eq=False)
class Masks:
    """The masks of the pictures of a collection; plain data, so it travels to workers."""

    kind: str
    """Where they come from, in words."""
    listing: pa.Table
    """The columns of `LISTING`, in the order of the pictures."""
    reader: MaskReader
    digest: str
    """sha256 over what is listed and how values are read; not over the location."""
    notes: tuple[str, ...] = ()
    """What is to be said of them all, such as masks that no picture goes with; a line each."""

    @property
    def pairs(self) -> pa.Table:
        """The rows of the listing that can be evaluated: a picture and a class in it."""
        return self.listing.filter(pc.equal(self.listing["status"], "ok"))

    @property
    def unusable(self) -> pa.Table:
        """The rows of pictures without a usable mask, with status and reason."""
        return self.listing.filter(pc.not_equal(self.listing["status"], "ok"))

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of all classes, in the order of their first picture."""
        return tuple(pc.unique(self.pairs["class_name"]).to_pylist())

    def read(self, image: str) -> LabelMap:
        """The label map of the picture with this id; raises MaskError, and PlaceError for trouble of the place."""
        return self.reader.read(image)


class Found(NamedTuple):
    """A class in a picture."""

    name: str
    value: int
    area: int | None


def present(image: str, found: Iterable[Found]) -> list[dict[str, Any]]:
    """The rows of the listing of a picture's classes; one that says so where there are none."""
    rows = [
        {"image": image, "class_name": name, "value": value, "area": area, "status": "ok"}
        for name, value, area in found
    ]
    return rows or [unusable(image, "no_object", f"{image}: its mask has no class in it")]


def unusable(image: str, status: str, reason: str) -> dict[str, Any]:
    """The row of the listing of a picture without a usable mask."""
    return {"image": image, "status": status, "reason": reason}


def listed(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """The listing of these rows."""
    return pa.Table.from_pylist(list(rows), schema=LISTING)


def digest_of(listing: pa.Table, *others: object) -> str:
    """A digest of what is listed, without its reasons, which name places, and of other plain values."""
    digest = hashlib.sha256(json.dumps(others, sort_keys=True).encode())
    for batch in listing.drop_columns("reason").to_batches():
        digest.update(json.dumps(batch.to_pydict()).encode())
    return digest.hexdigest()
