"""Masks that are pictures themselves, in a folder, a tar or a column of Parquet files: of values, or of one class."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import Any, TypeVar

import numpy as np

from clipneuron.data.collections import Collection, Picture, Reader
from clipneuron.data.masks.maps import (
    BACKGROUND,
    Found,
    LabelMap,
    MaskError,
    Masks,
    digest_of,
    listed,
    present,
    unusable,
)
from clipneuron.data.masks.matching import Matches, matched, stem_of
from clipneuron.data.masks.names import ValueNames
from clipneuron.data.masks.values import areas, foreground, label_map
from clipneuron.reports.quantities import counted
from clipneuron.store.errors import UNREACHABLE, PlaceError, ReadError

_Own = TypeVar("_Own")
_THREADS = 4
_AHEAD = 64
"""Masks in memory at a time while they are listed."""


@dataclass(frozen=True)
class ValueReader:
    """Reads masks whose values stand for classes."""

    reader: Reader
    masks: Mapping[str, Picture]
    """The mask of each picture, by the picture's id."""
    names: ValueNames

    def read(self, image: str) -> LabelMap:
        """The label map; raises MaskError and PlaceError."""
        return label_map(_bytes(self.reader, _own(self.masks, image)), image, self.names)


@dataclass(frozen=True)
class BinaryReader:
    """Reads masks of one class each; where several go with a picture, each is of another class."""

    reader: Reader
    masks: Mapping[str, Mapping[int, Picture]]
    """The masks of each picture by the values of their classes, by the picture's id."""

    def read(self, image: str) -> LabelMap:
        """The label map; raises MaskError, also where the masks of a picture differ in size, and PlaceError."""
        parts = {
            value: foreground(_bytes(self.reader, mask), mask.image)
            for value, mask in _own(self.masks, image).items()
        }
        sizes = {part.shape for part in parts.values()}
        if len(sizes) > 1:
            shown = ", ".join(f"{width} x {height}" for height, width in sorted(sizes))
            raise MaskError("other_size", f"{image}: its masks differ in size: {shown}")
        labels = np.full(sizes.pop(), BACKGROUND, np.int32)
        for value, part in parts.items():
            labels[part] = value
        covered = {
            v: part & (labels != v) for v, part in parts.items() if (labels[part] != v).any()
        }
        return LabelMap(labels, np.zeros(labels.shape, np.bool_), covered)


def value_masks(kind: str, found: Collection, pictures: Collection, names: ValueNames) -> Masks:
    """Masks whose values stand for classes, all of which are read to know which classes each picture has."""
    matches, by_id = _matched(found, pictures)
    single = {image: by_id[masks[0]] for image, masks in matches.of.items() if len(masks) == 1}
    reader = ValueReader(found.reader, single, names)
    rows: dict[str, list[dict[str, Any]]] = _unmatched(pictures, matches)
    notes: Counter[str] = Counter()
    for image, outcome in _read_all(reader, single):
        if isinstance(outcome, MaskError):
            rows[image] = [unusable(image, outcome.status, outcome.reason)]
            continue
        notes.update(filter(None, [outcome.note]))
        found_here = areas(outcome).items()
        rows[image] = present(image, (Found(names.names[v], v, area) for v, area in found_here))
    listing = listed(chain(*rows.values()))
    meaning = [sorted(part) for part in (names.names.items(), names.background, names.unknown)]
    digest = digest_of(listing, meaning, pictures.digest, found.digest)
    return Masks(kind, listing, reader, digest, (*_lonely(matches), *_nameless(notes)))


def binary_masks(
    kind: str, found: Collection, pictures: Collection, names: Mapping[str, str]
) -> Masks:
    """Masks of one class each: as `names` has it by picture, or the mask's folder, or its picture's own class."""
    matches, by_id = _matched(found, pictures)
    classes = _classes(matches, pictures, by_id, names)
    distinct = sorted({name for named in classes.values() for name in named.values() if name})
    values = {name: value for value, name in enumerate(distinct, 1)}
    rows = _unmatched(pictures, matches, several=True)
    masks: dict[str, dict[int, Picture]] = {}
    for image, named in classes.items():
        rows[image] = _binary_rows(image, named, values)
        if rows[image][0]["status"] == "ok":
            masks[image] = {values[name]: by_id[mask] for mask, name in named.items() if name}
    listing = listed(chain(*rows.values()))
    digest = digest_of(listing, pictures.digest, found.digest)
    return Masks(kind, listing, BinaryReader(found.reader, masks), digest, _lonely(matches))


def _binary_rows(
    image: str, named: Mapping[str, str | None], values: Mapping[str, int]
) -> list[dict[str, Any]]:
    names = [name for name in named.values() if name]
    if len(names) < len(named):
        mask = next(mask for mask, name in named.items() if not name)
        reason = (
            f"{image}: nobody says what its mask {mask} is of: put masks into folders of their classes, give the "
            "pictures classes, or name the class of each"
        )
        return [unusable(image, "no_class", reason)]
    if len({*names}) < len(names):
        return [_ambiguous(image, [*named])]
    return present(image, (Found(name, values[name], None) for name in names))


def _classes(
    matches: Matches,
    pictures: Collection,
    by_id: Mapping[str, Picture],
    names: Mapping[str, str],
) -> dict[str, dict[str, str | None]]:
    """The class of each mask of each picture, None where nobody says it."""
    by_stem = {stem_of(key): name for key, name in names.items()}
    columns = (pictures.listing[name].to_pylist() for name in ("image", "label_name"))
    found: dict[str, dict[str, str | None]] = {}
    for image, own in zip(*columns, strict=True):
        stem = stem_of(image)
        named = by_stem.get(stem) or by_stem.get(stem.rpartition("/")[2])
        if image in matches.of:
            masks = matches.of[image]
            found[image] = {mask: named or by_id[mask].label_name or own for mask in masks}
    return found


def _matched(found: Collection, pictures: Collection) -> tuple[Matches, dict[str, Picture]]:
    by_id = {mask.image: mask for mask in found.pictures}
    return matched(pictures.listing["image"].to_pylist(), [*by_id]), by_id


def _unmatched(
    pictures: Collection, matches: Matches, several: bool = False
) -> dict[str, list[dict[str, Any]]]:
    """The rows of pictures that no mask, or no single one, goes with; and an empty place for every other one."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for image in pictures.listing["image"].to_pylist():
        masks = matches.of.get(image, ())
        rows[image] = []
        if not masks:
            reason = f"{image}: there is no mask of this name, {stem_of(image)} with any ending"
            rows[image] = [unusable(image, "no_mask", reason)]
        elif len(masks) > 1 and not several:
            rows[image] = [_ambiguous(image, masks)]
    return rows


def _ambiguous(image: str, masks: Sequence[str]) -> dict[str, Any]:
    return unusable(
        image, "ambiguous", f"{image}: several masks go with it: {', '.join(masks[:3])}"
    )


def _lonely(matches: Matches) -> tuple[str, ...]:
    """What to say of masks that no picture goes with."""
    if not matches.lonely:
        return ()
    many = counted(len(matches.lonely), "masks")
    return (f"{many} without a picture, such as {matches.lonely[0]}",)


def _nameless(notes: Counter[str]) -> tuple[str, ...]:
    """What to say of masks that have values without a name."""
    if not notes:
        return ()
    return (f"{counted(notes.total(), 'masks')} with values {notes.most_common(1)[0][0]}",)


def _read_all(
    reader: ValueReader, masks: Mapping[str, Picture]
) -> Iterator[tuple[str, LabelMap | MaskError]]:
    encoded = reader.reader.read_many(tuple(masks.values()))
    images = iter(masks)
    decode = partial(_decoded, names=reader.names)
    with ThreadPoolExecutor(_THREADS) as pool:
        while some := list(islice(images, _AHEAD)):
            yield from zip(some, pool.map(decode, some, islice(encoded, len(some))), strict=True)


def _decoded(image: str, data: bytes | ReadError, names: ValueNames) -> LabelMap | MaskError:
    try:
        return label_map(_checked(data), image, names)
    except MaskError as error:
        return error


def _bytes(reader: Reader, mask: Picture) -> bytes:
    return _checked(next(iter(reader.read_many([mask]))))


def _checked(data: bytes | ReadError) -> bytes:
    if not isinstance(data, ReadError):
        return data
    if data.status == UNREACHABLE:
        raise PlaceError(f"the masks cannot be reached: {data.reason}") from data
    raise MaskError(data.status, data.reason) from data


def _own(masks: Mapping[str, _Own], image: str) -> _Own:
    if image not in masks:
        raise MaskError("no_mask", f"{image}: there is no usable mask of it")
    return masks[image]
