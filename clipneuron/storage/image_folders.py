"""Pictures as files: a folder of them, with classes from sub-folders or from a contents.jsonl, or a single one."""

import json
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clipneuron.storage.errors import ReadError
from clipneuron.storage.pictures import Collection, Picture, collection, numbered

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
CONTENTS = "contents.jsonl"


@dataclass
class Listing:
    """The files under a folder: relative paths in natural order with their sizes, and what was passed over."""

    pictures: dict[str, int] = field(default_factory=dict)
    tables: dict[str, int] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    """Files that are neither, by suffix."""


@dataclass(frozen=True)
class FileReader:
    """Reads pictures that are files below a folder."""

    root: Path

    def read_many(self, pictures: Sequence[Picture]) -> Iterator[bytes | ReadError]:
        """The bytes of each picture in turn, or why they can't be read."""
        for picture in pictures:
            yield self._read(picture)

    def _read(self, picture: Picture) -> bytes | ReadError:
        try:
            data = (self.root / picture.source).read_bytes()
        except FileNotFoundError:
            return ReadError("missing", f"the file {picture.source} is gone")
        except OSError as error:
            return ReadError("unreadable", f"{picture.source}: {error.strerror}")
        return data or ReadError("empty", f"the file {picture.source} has no bytes")


def list_folder(root: Path) -> Listing:
    """What is in a folder and below; raises ValueError for a directory that can't be read."""
    listing = Listing()
    for path in sorted(_files(root, listing.skipped), key=natural):
        _sort_in(root, path, listing)
    return listing


def open_folder(root: Path, listing: Listing) -> Collection:
    """The collection of a folder's pictures; raises ValueError for a bad contents.jsonl."""
    names = list(listing.pictures)
    skipped = listing.skipped + Counter({"not a picture": listing.others.total()})
    labels, label_names, missing = _labels(root, names)
    columns = {
        "image": names,
        "label": labels,
        "label_name": label_names,
        "source": names,
        "offset": [None] * len(names),
    }
    skipped += Counter({"listed but missing": missing})
    return collection(columns, FileReader(root), listing.pictures, skipped)


def open_file(path: Path) -> Collection:
    """The collection of one picture."""
    listing = Listing(pictures={path.name: path.stat().st_size})
    columns = {"image": [path.name], "label": [None], "label_name": [None]}
    places = {"source": [path.name], "offset": [None]}
    return collection(columns | places, FileReader(path.parent), listing.pictures)


def natural(path: str) -> tuple[Any, ...]:
    """A sort key that puts img2 before img10, the same on every machine.

    >>> sorted(["b/1.png", "img10.png", "img2.png", "a.png"], key=natural)
    ['a.png', 'b/1.png', 'img2.png', 'img10.png']
    """
    parts = [re.split(r"([0-9]+)", part) for part in path.split("/")]
    return [[int(t) if i % 2 else t for i, t in enumerate(part)] for part in parts], path


def _files(root: Path, skipped: Counter[str]) -> Iterator[str]:
    seen: set[str] = set()
    for directory, folders, files in os.walk(root, onerror=_unreadable, followlinks=True):
        real = os.path.realpath(directory)
        if real in seen:
            # A link back up would otherwise list the same pictures for ever.
            skipped["folder already listed"] += 1
            folders.clear()
            continue
        seen.add(real)
        visible = [name for name in (*folders, *files) if not name.startswith(".")]
        skipped["hidden"] += len(folders) + len(files) - len(visible)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        base = Path(directory).relative_to(root)
        yield from ((base / name).as_posix() for name in files if not name.startswith("."))


def _unreadable(error: OSError) -> None:
    raise ValueError(
        f"can't list {error.filename}: {error.strerror}; a collection must be readable as a whole: give "
        "permission, or name a folder that leaves it out"
    ) from error


def _sort_in(root: Path, path: str, listing: Listing) -> None:
    suffix = Path(path).suffix.lower()
    try:
        status = (root / path).stat()
    except OSError:
        listing.skipped["broken link"] += 1
        return
    if not stat.S_ISREG(status.st_mode):
        listing.skipped["not a file"] += 1
    elif not _is_text(path):
        listing.skipped["name is not UTF-8"] += 1
    elif suffix in SUFFIXES:
        listing.pictures[path] = status.st_size
    elif suffix == ".parquet":
        listing.tables[path] = status.st_size
    elif path != CONTENTS:
        listing.others[suffix or "no suffix"] += 1


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _labels(root: Path, names: Sequence[str]) -> tuple[list[int | None], list[str | None], int]:
    """Each picture's label and class name, and how many listed pictures do not exist."""
    listed = _contents(root / CONTENTS)
    missing = len(listed.keys() - set(names))
    if any(record.get("label") is not None for record in listed.values()):
        labels, label_names = _listed_labels([listed.get(name, {}) for name in names])
        return labels, label_names, missing
    if all("/" in name for name in names):
        folders: list[str | None] = [name.split("/")[0] for name in names]
        return numbered(folders), folders, missing
    return [None] * len(names), [None] * len(names), missing


def _listed_labels(
    records: Sequence[Mapping[str, Any]],
) -> tuple[list[int | None], list[str | None]]:
    labels = [record.get("label") for record in records]
    if all(label is None or isinstance(label, str) for label in labels):
        return numbered(labels), labels
    if all(label is None or type(label) is int for label in labels):
        return labels, [_class_name(record) for record in records]
    raise ValueError(f"the labels in {CONTENTS} must be all names (text) or all numbers (integers)")


def _class_name(record: Mapping[str, Any]) -> str | None:
    name = record.get("label_name", record.get("name"))
    return name if isinstance(name, str) else None


def _contents(path: Path) -> dict[str, Mapping[str, Any]]:
    if not path.is_file():
        return {}
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"can't read {path}: {error}") from error
    records = [_record(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    return {record["image"]: record for record in records}


def _record(path: Path, number: int, line: str) -> Mapping[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{path}, line {number} is not JSON: {error}") from error
    if not isinstance(record, dict) or not isinstance(record.get("image"), str):
        raise ValueError(f'{path}, line {number} does not say "image": one JSON object per picture')
    return record
