"""What is to be said of a run: too few pictures, or pictures read, but not as people see them; texts and descriptions.

A line per kind of note.
"""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from clipneuron.lens.options import ALIKE
from clipneuron.reports.quantities import counted
from clipneuron.store.store import Run
from clipneuron.sweep.neurons import without_words

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


def run_notes(run: Run) -> list[str]:
    """What is to be said of its pictures, its pools and its descriptions; raises StoreError."""
    order = run.announced()
    known = zip(order.kinds, order.stages, strict=True) if order and order.kinds else ()
    stages = [(kind, stage) for kind, stage in known if kind in _ABOUT and run.done(stage)]
    return [
        *picture_notes(run),
        *(note for kind, stage in stages if (note := _ABOUT[kind](run, stage))),
    ]


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


def _alike(run: Run, stage: str) -> str:
    """What to say of a pool's texts that are nearly equal to others, "" where none is."""
    (found,) = run.read(stage, "pools").to_pylist()
    if not found["alike"]:
        return ""
    pair = f"{found['text']!r} and {found['other']!r} ({found['cosine']:.4f})"
    return (
        f"{counted(found['alike'], 'texts')} of {counted(found['texts'], 'texts')} nearly equal to another once "
        f"prepared (cosine above {ALIKE}), such as {pair}: which of them describes a neuron means little"
    )


def _ill_conditioned(run: Run, stage: str) -> str:
    """What to say of neurons whose descriptions are ill-conditioned, "" where none is."""
    if without_words(run, stage):
        return ""
    notes = run.read(stage, "pursuits", columns=["note", "words_note"])
    long, short = (notes.num_rows - notes[name].null_count for name in notes.column_names)
    said = [f"{long:,} long descriptions (`recipe.atoms`)"] if long else []
    said += [f"the words of {counted(short, 'neurons')}, which are left out"] if short else []
    of = f"ill-conditioned in {stage}, of {counted(notes.num_rows, 'neurons')}"
    return f"{of}: {' and '.join(said)}" if said else ""


_ABOUT = {"pool": _alike, "descriptions": _ill_conditioned}
"""By the kind of a stage, what to say of it."""

_SCHEMA = pa.schema({"image": pa.string(), "note": pa.string()})


def _lines(images: list[str], notes: list[str]) -> Iterator[str]:
    for kind, meaning in _KINDS.items():
        having = [place for place, note in enumerate(notes) if f"{kind}: " in note]
        if having:
            first = having[0]
            yield f"{meaning}: {len(having):,}, such as {images[first]} ({notes[first]})"
