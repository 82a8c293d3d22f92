"""What reviewers decided about pictures: one object per decision, so that no reviewer and no window overwrites another.

    {run}/reviews/{stage}/{reviewer}/{picture}-{digest}/{number}.json

`stage` is the one that painted the picture: another one of the same run may paint other pictures under the same ids.
Numbers of a picture count up from 0, and the highest one is what its reviewer thinks now. Taking a decision back is
a row as well ("undone"), so the history is whole.
"""

import csv
import hashlib
import io
import logging
import re
from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import pyarrow as pa
from pydantic import AwareDatetime, BaseModel, ConfigDict

from clipneuron.reports.markup import guarded, unguarded
from clipneuron.store import markers, parquet, records
from clipneuron.store.errors import DamagedError
from clipneuron.store.run import Run
from clipneuron.tables import registry as tables
from clipneuron.tables.columns import described

Choice = Literal["keep", "shows-c2", "lacks-c1", "undone"]
CHOICES: tuple[Choice, ...] = get_args(Choice)
UNDONE = "undone"
_FOLDER = "reviews/"
logger = logging.getLogger(__name__)


class Decision(BaseModel):
    """One decision of one reviewer on one picture; `time` is to the millisecond."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    stage: str
    picture: str
    decision: Choice
    reviewer: str
    time: AwareDatetime
    note: str = ""
    number: int


class Agreement(NamedTuple):
    """How two reviewers compare on the pictures that both have decided; keeping or removing is what counts.

    kappa: Cohen's, (agreement - chance) / (1 - chance); None where chance alone makes them agree.
    """

    first: str
    second: str
    pictures: int
    same: int
    kappa: float | None


def schema() -> pa.Schema:
    """The table of decisions, a row per decision."""
    return described(
        "decisions",
        {
            "stage": (pa.string(), "the stage that painted the picture"),
            "picture": (pa.string(), "id of the picture"),
            "decision": (pa.string(), "keep, shows-c2, lacks-c1, or undone"),
            "reviewer": (pa.string(), "who decided"),
            "time": (pa.timestamp("ms", "UTC"), "when"),
            "note": (pa.string(), "what the reviewer wrote beside it"),
            "number": (pa.int32(), "how many decisions of this reviewer on it came before"),
        },
    )


def decide(
    run: Run, stage: str, reviewer: str, picture: str, decision: Choice, note: str = ""
) -> Decision:
    """The decision, now on record after all earlier ones of this reviewer on this picture of the stage.

    Raises ValueError for a name that cannot be part of a key or a word that is no decision, StoreError.
    """
    folder = f"{_folder(stage, reviewer)}{_slug(picture)}/"
    if decision not in CHOICES:
        raise ValueError(f"{decision!r} is no decision; there are {', '.join(CHOICES)}")
    number = len(list(run.objects.list(folder)))
    while True:
        made = Decision(
            stage=stage,
            picture=picture,
            decision=decision,
            reviewer=reviewer,
            time=datetime.fromisoformat(records.now()),
            note=note,
            number=number,
        )
        if _record(run, made):
            return made
        number += 1  # another window of this reviewer was quicker


def history(run: Run, stage: str, reviewer: str | None = None) -> pa.Table:
    """Every decision (of one reviewer) on a stage's pictures, undone ones too: by reviewer, picture and number.

    Raises ValueError for a name that cannot be part of a key, StoreError. Damaged records are logged; see `recorded`.
    """
    found, damaged = recorded(run, stage, reviewer)
    for problem in damaged:
        logger.warning("%s", problem)
    return found


def recorded(run: Run, stage: str, reviewer: str | None = None) -> tuple[pa.Table, list[str]]:
    """The rows of `history`, and what is wrong with records of decisions, and what to do; raises as `history` does.

    Where the record of a reviewer's latest decision on a picture is damaged, what came before it does not stand
    either: the picture is undecided.
    """
    keys = list(run.objects.list(_folder(stage, reviewer)))
    found, lost, damaged = [], set(), []
    for key, read in markers.load_listed(run.objects, Decision, keys):
        place = key.rpartition("/")[0]
        if isinstance(read, DamagedError):
            damaged.append(str(read))
            lost.add(place)
        else:
            lost.discard(place)
            found.append((place, read))
    return _table(made for place, made in found if place not in lost), damaged


def decisions(run: Run, stage: str, reviewer: str | None = None) -> pa.Table:
    """What each reviewer thinks now of each picture: the latest decision, none where that is "undone".

    Raises as `history`.
    """
    return standing(history(run, stage, reviewer))


def standing(decided: pa.Table) -> pa.Table:
    """The latest decision of each reviewer on each picture, without those that were undone."""
    rows = decided.sort_by("number").to_pylist()
    latest = {(row["stage"], row["reviewer"], row["picture"]): row for row in rows}
    kept = [latest[key] for key in sorted(latest) if latest[key]["decision"] != UNDONE]
    return pa.Table.from_pylist(kept, schema=schema())


def merged(decided: pa.Table) -> dict[str, str]:
    """What the reviewers say together of each picture: "kept" or "removed" if all agree, else "disputed".

    Why a picture is removed may differ. `decided` is of `decisions`, or `standing` of one stage.
    """
    found: dict[str, set[str]] = {}
    for picture, decision in zip(
        decided["picture"].to_pylist(), decided["decision"].to_pylist(), strict=True
    ):
        found.setdefault(picture, set()).add("kept" if decision == "keep" else "removed")
    return {
        picture: words.pop() if len(words) == 1 else "disputed" for picture, words in found.items()
    }


def agreements(decided: pa.Table) -> list[Agreement]:
    """Every two reviewers who have decided on a picture in common; `decided` as in `merged`."""
    kept: dict[str, dict[str, bool]] = {}
    columns = (decided[name].to_pylist() for name in ("reviewer", "picture", "decision"))
    for reviewer, picture, decision in zip(*columns, strict=True):
        kept.setdefault(reviewer, {})[picture] = decision == "keep"
    pairs = ((a, b, sorted(kept[a].keys() & kept[b].keys())) for a, b in combinations(kept, 2))
    return [
        _agreement(a, b, [(kept[a][picture], kept[b][picture]) for picture in pictures])
        for a, b, pictures in pairs
        if pictures
    ]


def adopt(run: Run, decided: pa.Table) -> int:
    """How many of these decisions, made on another copy of the run, are new to this one and now on record.

    Raises ValueError for a table that is no table of decisions, or where this run has another decision under the
    same number: then one reviewer worked on both copies, and nobody knows which came later. Nothing is written then.
    """
    rows = [Decision.model_validate(row) for row in tables.check(decided, schema()).to_pylist()]
    there = {
        _place(known): known
        for stage in sorted({row.stage for row in rows})
        for known in map(Decision.model_validate, history(run, stage).to_pylist())
    }
    for row in rows:
        known = there.get(_place(row), row)
        if known != row:
            raise ValueError(
                f"{row.reviewer} decided on {row.picture} in both copies ({known.decision} here, "
                f"{row.decision} there): let this reviewer have another name in one of them"
            )
    return sum(_record(run, row) for row in rows if _place(row) not in there)


def as_csv(decided: pa.Table) -> bytes:
    """The decisions as CSV with a heading; times in UTC, ISO 8601."""
    text = io.StringIO()
    writer = csv.DictWriter(text, decided.schema.names)  # ends lines by \r\n, and quotes a lone \r
    writer.writeheader()
    for row in decided.to_pylist():
        written = row | {"time": row["time"].isoformat(timespec="milliseconds")}
        # What reviewers and captions say is no formula of the spreadsheet that opens the file.
        writer.writerow({name: _cell(value, guarded) for name, value in written.items()})
    return text.getvalue().encode()


def _cell(value: Any, change: Callable[[str], str]) -> Any:
    return change(value) if isinstance(value, str) else value


def as_parquet(decided: pa.Table) -> bytes:
    """The decisions as Parquet."""
    return parquet.encode(decided)


def load(path: Path) -> pa.Table:
    """The decisions in a file that `as_csv` or `as_parquet` made; raises ValueError for any other file."""
    data = path.read_bytes()
    try:
        if path.suffix == ".parquet":
            return tables.check(parquet.decode(data), schema())
        lines = csv.DictReader(io.StringIO(data.decode()))
        rows = [{name: _cell(cell, unguarded) for name, cell in line.items()} for line in lines]
        return _table(map(Decision.model_validate, rows))
    except (pa.ArrowException, ValueError) as error:
        raise ValueError(
            f"{path} holds no decisions: expected an export of a review, .csv or .parquet"
        ) from error


def _record(run: Run, made: Decision) -> bool:
    folder = f"{_folder(made.stage, made.reviewer)}{_slug(made.picture)}"
    return run.objects.create(f"{folder}/{made.number:06d}.json", records.dump(made))


def _place(made: Decision) -> tuple[str, str, str, int]:
    return made.stage, made.reviewer, made.picture, made.number


def _folder(stage: str, reviewer: str | None) -> str:
    """Of a reviewer, or of all that a stage has."""
    folder = f"{_FOLDER}{markers.checked_name('stage', stage)}/"
    return folder if reviewer is None else f"{folder}{markers.checked_name('reviewer', reviewer)}/"


def _slug(picture: str) -> str:
    """A part of a key that people can read; the digest tells apart what reads alike."""
    if not picture:
        raise ValueError("a picture without an id cannot be decided on")
    readable = re.sub(r"[^A-Za-z0-9]+", "-", picture).strip("-")[:80]
    digest = hashlib.sha256(picture.encode()).hexdigest()[:16]
    return f"{readable}-{digest}".lstrip("-")


def _table(made: Iterable[Decision]) -> pa.Table:
    ordered = sorted(made, key=_place)
    return pa.Table.from_pylist([row.model_dump() for row in ordered], schema=schema())


def _agreement(first: str, second: str, kept: list[tuple[bool, bool]]) -> Agreement:
    count, same = len(kept), sum(a == b for a, b in kept)
    ours, theirs = (sum(pair[n] for pair in kept) / count for n in range(2))
    chance = ours * theirs + (1 - ours) * (1 - theirs)
    kappa = None if chance == 1 else (same / count - chance) / (1 - chance)
    return Agreement(first, second, count, same, kappa)
