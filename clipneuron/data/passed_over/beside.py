"""Several kinds of data side by side: what is taken, what is passed over, and when that is the greater part."""

import os
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pyarrow as pa

from clipneuron.data.columns import Columns
from clipneuron.data.files import Files
from clipneuron.reports.quantities import counted
from clipneuron.store.objects.concurrency import in_order


class Kind(NamedTuple):
    """Files of one kind in a listing."""

    several: str
    """What they are called."""
    files: pa.Table
    held: Callable[[Mapping[str, Any]], int] | None = None
    """How many pictures one of the files holds, where it is not itself one; raises ValueError where it is damaged."""
    asked_by: str = ""
    """The field that takes this kind."""


def passed_over(
    files: Files, taken: Kind, held: int, others: list[Kind], columns: Columns, *, asked: bool
) -> Counter[str]:
    """What lies beside the files that are taken and hold `held` pictures, with counts.

    Raises ValueError where another kind holds more pictures, unless the kind is `asked` for.
    """
    counts: Counter[str] = Counter()
    for other in others:
        if not other.files.num_rows:
            continue
        counts[f"{other.several} beside {taken.several}"] += other.files.num_rows
        if other.held is None:
            continue
        limit = None if asked else held
        found, more = _pictures_in(files, other.files, other.held, limit)
        if limit is not None and found > limit:
            raise ValueError(_smaller(files, taken, held, other, found, more, columns))
        if found:
            counts[f"pictures in {other.several} beside {taken.several}"] += found
    return counts


def _pictures_in(
    files: Files, listed: pa.Table, count: Callable[[Mapping[str, Any]], int], limit: int | None
) -> tuple[int, bool]:
    """The pictures in all files, counted until there are more than the limit, and whether files were left."""

    def held(entry: Mapping[str, Any]) -> int:
        try:
            return count(entry)
        except ValueError:
            return 0  # what is damaged is not going to be read, and so is no reason to stop

    found = 0
    entries = listed.to_pylist()
    for number, here in enumerate(in_order(held, entries, files.concurrency), 1):
        found += here
        if limit is not None and found > limit:
            return found, number < len(entries)
    return found, False


def _smaller(
    files: Files, taken: Kind, held: int, other: Kind, found: int, more: bool, columns: Columns
) -> str:
    places = [files.location(folder) for folder in map(_folder, (taken, other)) if folder]
    where = f", such as {' or '.join(places)}" if places else ""
    held_in = "" if taken.held is None else f" in {taken.several}"
    return (
        f"{files.url} holds {counted(held, 'pictures')}{held_in} ({_example(taken)}) and beside them "
        f"{'at least ' if more else ''}{found:,} pictures in {other.several} ({_example(other)}), and only the smaller "
        f"part would be taken: point {columns.field('images')} at what is meant{where}, or give "
        f"{columns.field(other.asked_by)}, which takes the {other.several}"
    )


def _example(kind: Kind) -> str:
    return f"such as {kind.files['path'][0].as_py()}"


def _folder(kind: Kind) -> str:
    """The folder that all files of a kind are in, "" where that is the listed one."""
    return os.path.commonpath(
        [os.path.dirname(str(path)) for path in kind.files["path"].to_pylist()]
    )
