"""What is to be said of a run's pictures that were read, but not as people see them: a line per kind of note."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from clipneuron.store.store import Run

_KINDS = {
    "clipped": "pictures that lost values beyond 0 to 255, as in open_clip (see `recipe.high_depth`)",
    "scaled": "pictures scaled to 0 to 255, each from its least to its greatest value",
    "one colour": "pictures of one colour, without any content",
}
"""The beginnings of notes, which `clipneuron.models.clip` writes, and what they mean."""


def picture_notes(run: Run) -> list[str]:
    """A line per kind of note in the table `norms`: how many pictures have it, and one of them; raises StoreError."""
    if not run.done("effects"):
        return []
    rows = _noted(run)
    return list(_lines(rows["image"].to_pylist(), rows["note"].to_pylist()))


def _noted(run: Run) -> pa.Table:
    """The pictures with a note."""
    try:
        return _read(run)
    except ValueError:  # shards of an earlier version lack the column, perhaps not all of them
        tables = (_of_shard(run, shard) for shard in run.committed("effects"))
        return pa.concat_tables([_NOTHING, *tables])


def _of_shard(run: Run, shard: str) -> pa.Table:
    try:
        return _read(run, [shard])
    except ValueError:
        return _NOTHING


def _read(run: Run, shards: Sequence[str] | None = None) -> pa.Table:
    having = pc.field("note").is_valid()
    found = run.read("effects", "norms", shards=shards, columns=["image", "note"], filters=having)
    return found.cast(_NOTHING.schema)


_NOTHING = pa.schema({"image": pa.string(), "note": pa.string()}).empty_table()


def _lines(images: list[str], notes: list[str]) -> Iterator[str]:
    for kind, meaning in _KINDS.items():
        having = [place for place, note in enumerate(notes) if f"{kind}: " in note]
        if having:
            first = having[0]
            yield f"{meaning}: {len(having):,}, such as {images[first]} ({notes[first]})"
