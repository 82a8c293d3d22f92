"""What is to be said of a run's pictures: too few of them, or read, but not as people see them."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from clipneuron.reports.quantities import counted
from clipneuron.store.store import Run

MANY = 0.1
"""Share of the pictures above which top effects are no longer the few that the paper means (2 %)."""


def many_large(top: int, pictures: int) -> str:
    """What is to be said of a `top` that is more than a tenth of the pictures; empty for others."""
    if top <= MANY * pictures:
        return ""
    known = f"top {top} of {counted(pictures, 'pictures')}"
    if top >= pictures:
        return f"{known}: all of them count as significant"
    return (
        f"{known}: {top / pictures:.0%} of them count as significant (the paper: 2 %), so that directions and "
        "explained variance rest on weak effects too"
    )


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
