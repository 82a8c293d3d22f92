"""Tags and captions of pictures: a column of their Parquet files, or a key of the contents.jsonl beside them."""

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clipneuron.config.suggestions import suggestion
from clipneuron.data.collections import Collection
from clipneuron.data.files import Files, Span
from clipneuron.data.listing import CONTENTS

Told = str | tuple[str, ...]
"""A caption, or tags."""


def told_in(collection: Collection, column: str, field: str) -> dict[str, Told]:
    """What is said of each picture, by its id; pictures of which nothing is said are left out.

    Raises ValueError, which names the `field` of the configuration, where no file has the column or it holds neither
    texts nor lists of texts.
    """
    files, listing = collection.reader.files, collection.listing
    sources = pc.unique(listing["source"]).to_pylist()
    if all(source.lower().endswith(".parquet") for source in sources):
        found: dict[str, Told] = {}
        for source in sources:
            own = listing.filter(pc.equal(listing["source"], source))
            values = _column(files, source, column, field).take(own["offset"].combine_chunks())
            found |= _said(zip(own["image"].to_pylist(), values.to_pylist(), strict=True), field)
        return found
    return _from_contents(files, {*listing["image"].to_pylist()}, column, field)


def _column(files: Files, source: str, column: str, field: str) -> pa.ChunkedArray:
    status = files.status(source)
    if status is None:
        raise ValueError(f"{files.location(source)} is gone: put it back")
    with files.open(source, status.size) as raw:
        file = pq.ParquetFile(raw)
        names = file.schema_arrow.names
        if column not in names:
            raise ValueError(
                f"{files.location(source)} has no column {column!r}, which {field} names; it has {', '.join(names)}"
                + suggestion(column, names)
            )
        return file.read(columns=[column])[column]


def _from_contents(files: Files, images: set[str], column: str, field: str) -> dict[str, Told]:
    place = files.location(CONTENTS)
    try:
        # Rarer separators of lines, which splitlines() knows, may occur inside a text.
        lines = files.read(Span(CONTENTS)).decode("utf-8-sig").split("\n")
        records = [json.loads(line) for line in lines if line.strip()]
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{field} names {column!r}, and tags are read from Parquet files or {CONTENTS}: can't read {place}: {error}"
        ) from error
    rows = [(row.get("image"), row.get(column)) for row in records if isinstance(row, dict)]
    if all(said is None for _, said in rows):
        raise ValueError(f"no line of {place} has {column!r}, which {field} names: check its name")
    return _said(((image, said) for image, said in rows if image in images), field)


def _said(pairs: Any, field: str) -> dict[str, Told]:
    found: dict[str, Told] = {}
    for image, said in pairs:
        if isinstance(said, str):
            found[image] = said
        elif isinstance(said, list) and all(isinstance(tag, str) for tag in said):
            found[image] = tuple(said)
        elif said is not None:
            raise ValueError(
                f"{field}: of {image} it holds {said!r:.60}: expected a caption (text) or tags (a list of texts)"
            )
    return found


def digest_of(told: Mapping[str, Told]) -> str:
    """Plain text of everything that is said, for a digest."""
    return json.dumps(sorted(told.items()), ensure_ascii=False)
