"""The pictures that fool the model most, a row per pair, as one picture (Fig. 6 and 13 in rows)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from clipneuron.attack.counts import OURS
from clipneuron.attack.review import decisions as reviews
from clipneuron.attack.review.deck import ReviewKeys
from clipneuron.reports.drawing import Lost, Row, contact_sheet
from clipneuron.store.errors import StoreError
from clipneuron.store.run import Run

UNREVIEWED = (230, 159, 0)
_LEGEND = "orange frame: nobody has decided yet whether it shows the one and not the other"


@dataclass(frozen=True)
class Convincing:
    """One picture on the sheet."""

    picture: str
    """Its id."""
    image: bytes | Lost
    margin: float
    caption: str
    kept: bool
    """Whether the reviewers keep it; else nobody has decided."""


def convincing(
    run: Run, keys: ReviewKeys, *, method: str = OURS, count: int = 10
) -> dict[str, list[Convincing]]:
    """The `count` pictures of largest margin per pair, the best of every caption before the second of any.

    Pictures that a reviewer removes are left out. Pairs without one are not in it. Pictures whose bytes are damaged
    or out of reach come with the reason instead. Raises StoreError.
    """
    reviewed = reviews.merged(reviews.decisions(run, keys.pictures))
    captions = _column(run, keys.pictures, "caption", [("method", "==", method)])
    chosen = {
        pair: _chosen(rows, captions, reviewed, count)
        for pair, rows in _fooling(run, keys.verdicts, method).items()
    }
    wanted = [picture for rows in chosen.values() for picture in rows]
    images = _images(run, keys.pictures, wanted)
    return {
        pair: [
            Convincing(picture, images[picture], margin, captions[picture], picture in reviewed)
            for picture, margin in rows.items()
        ]
        for pair, rows in sorted(chosen.items())
        if rows
    }


def fooling_sheet(rows: dict[str, list[Convincing]], title: str, pictures: int = 10) -> Image.Image:
    """A row per pair: its classes and the first picture's caption at the left, its pictures at the right.

    An orange frame marks pictures that nobody has reviewed. ValueError when there is nothing to show.
    """
    if not rows:
        raise ValueError("no picture fools the model: there is nothing to show")
    shown = [_row(pair, found[:pictures]) for pair, found in rows.items()]
    return contact_sheet(shown, f"{title}   ({_LEGEND})", pictures)


def _fooling(run: Run, verdicts: str, method: str) -> dict[str, pa.Table]:
    """The pictures of a method that fool the model, by pair, the largest margin first."""
    columns = ["picture", "pair", "margin", "fooled"]
    rows = run.read(verdicts, "verdicts", columns=columns, filters=[("method", "==", method)])
    rows = rows.filter(pc.field("fooled"))
    rows = rows.sort_by([("margin", "descending"), ("picture", "ascending")])
    pairs = pc.unique(rows["pair"]).to_pylist()
    return {pair: rows.filter(pc.field("pair") == pair) for pair in pairs}


def _chosen(
    rows: pa.Table, captions: Mapping[str, str], reviewed: Mapping[str, str], count: int
) -> dict[str, float]:
    """Picture -> margin: in rounds, one of every caption per round."""
    rounds: Counter[str] = Counter()
    ranked = []
    columns = (rows[name].to_pylist() for name in ("picture", "margin"))
    for place, (picture, margin) in enumerate(zip(*columns, strict=True)):
        if reviewed.get(picture, "kept") == "kept":
            rounds[captions[picture]] += 1
            ranked.append((rounds[captions[picture]], place, picture, margin))
    return {picture: margin for _, _, picture, margin in sorted(ranked)[:count]}


def _images(run: Run, stage: str, wanted: Sequence[str]) -> dict[str, bytes | Lost]:
    """Picture -> its bytes, or why they can't be had."""
    if not wanted:
        return {}
    try:
        return _column(run, stage, "image", [("picture", "in", wanted)])
    except StoreError as error:
        return dict.fromkeys(wanted, Lost(str(error)))


def _column(run: Run, stage: str, name: str, filters: object) -> dict[str, Any]:
    """Picture -> value of a column of the table `pictures`."""
    rows = run.read(stage, "pictures", columns=["picture", name], filters=filters)
    return dict(zip(rows["picture"].to_pylist(), rows[name].to_pylist(), strict=True))


def _row(pair: str, shown: Sequence[Convincing]) -> Row:
    c1, _, c2 = pair.partition(":")
    return Row(
        f"{c1}, taken for {c2}",
        f"largest margin {shown[0].margin:.3f}",
        wrap(shown[0].caption, 40, max_lines=4, placeholder="..."),
        [(picture.image, None if picture.kept else UNREVIEWED) for picture in shown],
    )
