"""What is to be said of a run's pictures that were read, but not as people see them: a line per kind of note."""

from collections.abc import Iterator

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
    """The pictures with a note; shards of an earlier version lack the column, and have none."""
    norms = run.dataset("effects", "norms").replace_schema(_SCHEMA)
    return norms.to_table(filter=pc.field("note").is_valid())


_SCHEMA = pa.schema({"image": pa.string(), "note": pa.string()})


def _lines(images: list[str], notes: list[str]) -> Iterator[str]:
    for kind, meaning in _KINDS.items():
        having = [place for place, note in enumerate(notes) if f"{kind}: " in note]
        if having:
            first = having[0]
            yield f"{meaning}: {len(having):,}, such as {images[first]} ({notes[first]})"
