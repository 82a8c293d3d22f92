"""What a listing shows may be gone at the look that follows: forgotten failures, markers that a repair deletes."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clipneuron.store import manifests, parquet
from clipneuron.store.objects.local import LocalObjects
from clipneuron.store.objects.protocol import Entry
from clipneuron.store.run import Run
from clipneuron.store.store import DamagedRun, Store
from tests.samples.tables import means, new_run, values

GONE = ("failures/calibrate/00001/0001.json", "commits/calibrate/00001.json")


class Lagging(LocalObjects):
    """Listings that still show what has just been deleted."""

    def list(self, prefix: str) -> Iterator[str]:
        yield from sorted(
            [*super().list(prefix), *filter(lambda key: key.startswith(prefix), GONE)]
        )

    def entries(self, prefix: str) -> Iterator[Entry]:
        gone = [Entry(key, "gone", 1, 0.0) for key in GONE if key.startswith(prefix)]
        yield from sorted([*super().entries(prefix), *gone])


LOOKS: dict[str, tuple[Callable[[Run], Any], Any]] = {
    "failures": (
        lambda run: {name: len(all) for name, all in run.failures("calibrate").items()},
        {"00000": 1},
    ),
    "verify": (lambda run: run.verify(), []),
    "commits": (lambda run: list(run.committed("calibrate")), ["00000"]),
    "read": (values, {1.0}),
    "progress": (lambda run: run.progress("calibrate", 1800.0).failed_rows, 0),
    "garbage": (lambda run: run.garbage(older_than=0), []),
    "write_manifest": (lambda run: run.write_manifest("calibrate"), True),
}


@pytest.mark.parametrize("look", LOOKS)
def test_what_vanished_since_it_was_listed_is_left_out(tmp_path: Path, look: str) -> None:
    run = new_run(tmp_path)
    run.commit("calibrate", "00000", {"means": means(1.0)})
    run.record_failure("calibrate", "00000", ValueError("no"))
    assert isinstance(run.objects, LocalObjects)
    lagging = replace(run, objects=Lagging(run.objects.root))
    ask, answer = LOOKS[look]
    assert ask(lagging) == answer


def test_a_manifest_that_says_that_nothing_is_committed_is_no_damage(tmp_path: Path) -> None:
    """One that was written from a listing that lagged behind."""
    run = new_run(tmp_path)
    run.commit("calibrate", "00000", {"means": means(1.0)})
    run.objects.put("manifest/calibrate.parquet", parquet.encode(manifests.table([])))
    assert run.verify() == []
    assert values(run) == {1.0}
    run.objects.put("manifest/calibrate.parquet", b"PAR1")
    assert "is no manifest" in run.verify()[0]


def test_a_run_that_begins_between_two_looks_is_not_damaged(tmp_path: Path) -> None:
    """Its record was not there yet, its first commit is."""
    late: list[str] = []

    class Beginning(LocalObjects):
        def folders(self, prefix: str) -> Iterator[str]:
            if prefix == "commits/" and late:
                Store(tmp_path).objects.put(f"{late.pop()}/run.json", record)
            yield from super().folders(prefix)

        def under(self, folder: str) -> "Beginning":
            return Beginning(self.root / folder)

    run = Store(tmp_path).open_run("tiny", {})
    run.commit("calibrate", "00000", {"means": means(1.0)})
    record = run.objects.get("run.json")
    run.objects.delete("run.json")
    late.append(run.name)
    (found,) = Store(Beginning(tmp_path)).look()
    assert isinstance(found, Run)
    run.objects.delete("run.json")
    (found,) = Store(Beginning(tmp_path)).look()
    assert isinstance(found, DamagedRun)
