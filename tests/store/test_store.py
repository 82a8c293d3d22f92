import json
import pickle
from pathlib import Path

import pytest

from clipneuron.store import records
from clipneuron.store.errors import DamagedError, StoreError
from clipneuron.store.objects.local import LocalObjects
from clipneuron.store.store import RunMismatchError, Store, fingerprint
from tests.samples.processes import barrier, run_together
from tests.samples.tables import IDENTITY, means


@pytest.fixture
def store(place: str) -> Store:
    return Store(place)


def files(store: Store) -> list[str]:
    return list(store.objects.list(""))


def test_a_run_is_named_by_its_identity_alone(store: Store, tmp_path: Path) -> None:
    run = store.open_run("demo", IDENTITY)
    assert run.name == f"demo-{fingerprint(IDENTITY)}"
    assert Store(tmp_path / "elsewhere").open_run("demo", IDENTITY).name == run.name
    assert store.open_run("demo", IDENTITY | {"layers": [9]}).name != run.name


def test_run_json_says_what_the_run_is(store: Store) -> None:
    run = store.open_run("demo", IDENTITY, {"host": "here", "config": {"threads": 2}})
    record = json.loads(store.objects.get(f"{run.name}/run.json"))
    assert record["identity"] == IDENTITY
    assert record["details"] == {"host": "here", "config": {"threads": 2}}
    assert record["created_at"].endswith("+00:00")


def test_opening_again_writes_nothing_and_keeps_the_first_details(store: Store) -> None:
    first = store.open_run("demo", IDENTITY, {"host": "first"})
    before = list(store.objects.entries(""))
    again = store.open_run("demo", dict(reversed(IDENTITY.items())), {"host": "second"})
    assert again.record == first.record
    assert list(store.objects.entries("")) == before


def test_a_full_name_resumes_that_run(store: Store) -> None:
    run = store.open_run("demo", IDENTITY)
    assert store.open_run(run.name, IDENTITY).name == run.name


def test_a_full_name_with_another_configuration_is_refused_line_by_line(store: Store) -> None:
    run = store.open_run("demo", IDENTITY)
    with pytest.raises(RunMismatchError) as caught:
        store.open_run(run.name, IDENTITY | {"layers": [9], "epsilon": 1e-6})
    assert caught.value.differences == (
        "epsilon: stored 1e-05, asked 1e-06",
        "layers: stored [8, 9], asked [9]",
    )
    lines = str(caught.value).splitlines()
    assert lines[0] == f"run {run.name} holds the numbers of another configuration:"
    assert "  layers: stored [8, 9], asked [9]" in lines
    assert pickle.loads(pickle.dumps(caught.value)).differences == caught.value.differences


def test_a_tampered_record_is_refused(store: Store) -> None:
    run = store.open_run("demo", IDENTITY)
    key = f"{run.name}/run.json"
    store.objects.put(key, store.objects.get(key).replace(b'"equal"', b'"other"'))
    with pytest.raises(DamagedError, match="changed after it was written"):
        store.open_run("demo", IDENTITY)


def test_a_run_under_the_fingerprint_of_another_configuration_is_refused(store: Store) -> None:
    run = store.open_run("demo", IDENTITY)
    other = run.record.model_copy(update={"identity": {**IDENTITY, "split": "other"}})
    store.objects.put(f"{run.name}/run.json", records.dump(other))
    with pytest.raises(RunMismatchError, match='split: stored "other", asked "equal"'):
        store.open_run("demo", IDENTITY)
    [problem] = run.verify()
    assert "its identity has another fingerprint" in problem


def test_a_full_name_that_is_not_there_is_no_new_run(store: Store) -> None:
    with pytest.raises(ValueError, match="without the fingerprint"):
        store.open_run("demo-0123456789abcdef", IDENTITY)
    assert files(store) == []


@pytest.mark.parametrize("name", ["", "a/b", "../a", ".hidden", "a b", "-x"])
def test_a_name_that_cannot_be_a_folder_is_refused(store: Store, name: str) -> None:
    with pytest.raises(ValueError, match="the name of a run"):
        store.open_run(name, IDENTITY)


def test_a_damaged_record_is_named(store: Store) -> None:
    run = store.open_run("demo", IDENTITY)
    store.objects.put(f"{run.name}/run.json", b"{")
    with pytest.raises(StoreError, match=r"run\.json is damaged .*delete it and run"):
        store.open_run("demo", IDENTITY)


def test_a_store_that_replaces_gets_no_run(tmp_path: Path) -> None:
    class ReplacingObjects(LocalObjects):
        def create(self, key: str, data: bytes) -> bool:
            self.put(key, data)
            return True

        def under(self, folder: str) -> "ReplacingObjects":
            return ReplacingObjects(self.root / folder)

    with pytest.raises(StoreError, match="does not honour create-only writes"):
        Store(ReplacingObjects(tmp_path)).open_run("demo", IDENTITY)
    assert files(Store(tmp_path)) == []


def test_runs_are_listed_and_found(store: Store) -> None:
    first = store.open_run("demo", IDENTITY)
    second = store.open_run("demo", IDENTITY | {"layers": [9]})
    other = store.open_run("other", IDENTITY)
    assert [run.name for run in store.runs()] == sorted([first.name, second.name, other.name])
    assert store.find_run("other").name == other.name
    assert store.find_run(second.name).identity["layers"] == [9]
    with pytest.raises(
        ValueError, match=r"'demo' may be any of demo-.*, demo-.*: give more of its name"
    ):
        store.find_run("demo")
    with pytest.raises(ValueError, match=r"starts with 'demi'; there are demo-"):
        store.find_run("demi")


def test_an_empty_store_says_that_it_is_empty(store: Store) -> None:
    assert store.runs() == []
    with pytest.raises(ValueError, match="there is none yet"):
        store.find_run("demo")


def test_folders_that_are_no_runs_are_passed_over(store: Store) -> None:
    store.objects.put("notes/readme.txt", b"")
    assert store.runs() == []


def test_a_store_and_its_runs_travel(store: Store) -> None:
    run = store.open_run("demo", IDENTITY)
    assert pickle.loads(pickle.dumps(store)) == store
    pickle.loads(pickle.dumps(run)).commit("calibrate", "00000", {"means": means(1.0)})
    assert list(run.committed("calibrate")) == ["00000"]


def open_at_once(root: str, everyone: object, number: int) -> str:
    everyone.wait()  # type: ignore[attr-defined]
    return Store(root).open_run("demo", IDENTITY, {"number": number}).record.model_dump_json()


@pytest.mark.process
def test_processes_that_open_one_run_at_once_agree_on_it(place: str) -> None:
    everyone = barrier(4)
    records = run_together(open_at_once, [(place, everyone, number) for number in range(4)])
    assert len(set(records)) == 1
