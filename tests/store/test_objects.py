import errno
import fcntl
import os
import pickle
import resource
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipneuron.store.errors import ObjectMissingError, StoreError
from clipneuron.store.objects.local import LocalObjects
from clipneuron.store.objects.opening import local_path, open_objects, probe
from clipneuron.store.objects.protocol import Objects
from tests.samples.processes import run_in_process
from tests.samples.tables import leftovers


@pytest.fixture
def objects(place: str) -> Objects:
    return open_objects(place)


@pytest.fixture
def local(tmp_path: Path) -> LocalObjects:
    return LocalObjects(tmp_path / "store")


def test_what_was_written_is_read_back(objects: Objects) -> None:
    objects.put("a/b.bin", b"one")
    assert objects.get("a/b.bin") == b"one"
    assert objects.size("a/b.bin") == 3


def test_nothing_is_made_before_the_first_write(local: LocalObjects) -> None:
    assert list(local.list("")) == []
    assert list(local.folders("")) == []
    assert local.size("a") is None
    assert not local.root.exists()


def test_create_keeps_the_first_and_says_so(objects: Objects) -> None:
    assert objects.create("k", b"first") is True
    assert objects.create("k", b"second") is False
    assert objects.get("k") == b"first"


def test_put_replaces(objects: Objects) -> None:
    objects.put("k", b"first")
    objects.put("k", b"second")
    assert objects.get("k") == b"second"


def test_replace_keeps_what_is_not_as_it_was(objects: Objects) -> None:
    assert objects.replace("k", b"", b"one") is False
    assert objects.size("k") is None
    objects.put("k", b"one")
    assert objects.replace("k", b"two", b"three") is False
    assert objects.get("k") == b"one"
    assert objects.replace("k", b"one", b"two") is True
    assert objects.get("k") == b"two"
    assert list(objects.list("")) == ["k"]
    assert list(objects.leftovers()) == []


def test_of_many_who_replace_at_once_one_does(objects: Objects) -> None:
    objects.put("k", b"old")
    new = [f"{number}".encode() for number in range(6)]
    with ThreadPoolExecutor(len(new)) as pool:
        did = list(pool.map(lambda data: objects.replace("k", b"old", data), new))
    assert [data for data, done in zip(new, did, strict=True) if done] == [objects.get("k")]


def test_an_object_and_its_date_are_read_at_once(objects: Objects) -> None:
    objects.put("a/k", b"data")
    [entry] = objects.entries("a/k")
    data, modified = objects.dated("a/k")
    assert data == b"data"
    assert abs(modified - entry.modified) < 1  # a listing may be finer than a header
    with pytest.raises(ObjectMissingError):
        objects.dated("a/none")


def test_a_missing_object_is_named(objects: Objects) -> None:
    with pytest.raises(ObjectMissingError, match=r"there is no object .*nowhere"):
        objects.get("nowhere/at/all")


def test_a_file_in_the_place_of_a_folder_is_a_missing_object(local: LocalObjects) -> None:
    local.put("a", b"")
    assert local.size("a/b") is None
    with pytest.raises(ObjectMissingError):
        local.get("a/b")


def test_a_folder_is_no_object(local: LocalObjects) -> None:
    local.put("a/b", b"")
    assert local.size("a") is None
    with pytest.raises(StoreError, match="can't read"):
        local.get("a")


def test_many_come_in_the_order_they_were_asked_for(objects: Objects) -> None:
    keys = [f"many/{number}" for number in range(40)]
    for key in keys:
        objects.put(key, key.encode())
    assert list(objects.get_many(reversed(keys))) == [key.encode() for key in reversed(keys)]
    with pytest.raises(ObjectMissingError, match="many/gone"):
        list(objects.get_many(["many/1", "many/gone"]))
    assert list(objects.get_many([])) == []


def test_entries_are_stamped_by_every_write(objects: Objects) -> None:
    objects.put("a/2", b"two")
    objects.put("a/1", b"one")
    objects.put("b", b"")
    first, second = objects.entries("a/")
    assert [(entry.key, entry.size) for entry in (first, second)] == [("a/1", 3), ("a/2", 3)]
    objects.put("a/1", b"eno")
    again, untouched = objects.entries("a/")
    assert again.stamp != first.stamp
    assert untouched == second


def test_the_present_is_by_the_clock_that_entries_go_by(objects: Objects) -> None:
    before = objects.present()
    objects.put("a", b"")
    [entry] = objects.entries("")
    assert before - 1 <= entry.modified <= objects.present() + 1


def test_delete_is_repeatable(objects: Objects) -> None:
    objects.put("k", b"x")
    objects.delete("k")
    objects.delete("k")
    assert objects.size("k") is None


def test_list_sorts_keys_as_text_and_takes_any_prefix(objects: Objects) -> None:
    keys = ["a/2.json", "a.json", "a/1.json", "ab/1.json", "b"]
    for key in keys:
        objects.put(key, b"")
    assert list(objects.list("")) == sorted(keys)
    assert list(objects.list("a")) == ["a.json", "a/1.json", "a/2.json", "ab/1.json"]
    assert list(objects.list("a/")) == ["a/1.json", "a/2.json"]
    assert list(objects.list("none/")) == []


def test_folders_are_those_one_level_down(objects: Objects) -> None:
    for key in ("b/x/1", "a/1", "file"):
        objects.put(key, b"")
    assert list(objects.folders("")) == ["a", "b"]
    assert list(objects.folders("b/")) == ["x"]


def test_leftovers_of_killed_writers_are_not_listed(local: LocalObjects) -> None:
    local.put("k", b"x")
    (local.root / ".partial" / "torn").write_bytes(b"half")
    assert list(local.list("")) == ["k"]
    assert list(local.folders("")) == []


def test_under_a_folder_keys_are_relative(objects: Objects) -> None:
    objects.under("run").put("a/b", b"x")
    assert objects.get("run/a/b") == b"x"
    assert list(objects.under("run").list("")) == ["a/b"]


def test_a_location_is_a_path(local: LocalObjects) -> None:
    local.put("a/b", b"bytes")
    assert Path(local.location("a/b")).read_bytes() == b"bytes"


def test_a_filesystem_reaches_the_same_bytes(objects: Objects) -> None:
    objects.put("a/b", b"bytes")
    with objects.filesystem().open_input_file("a/b") as file:
        assert file.read() == b"bytes"


@pytest.mark.parametrize("key", ["", "/a", "a//b", "../a", "a/..", "a/.hidden", "a/"])
def test_keys_that_would_leave_the_store_or_hide_are_refused(objects: Objects, key: str) -> None:
    with pytest.raises(ValueError, match="a key is a relative path"):
        objects.put(key, b"")


@settings(max_examples=25)
@given(data=st.binary(max_size=64))
def test_any_bytes_survive(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    objects = LocalObjects(tmp_path_factory.mktemp("bytes"))
    assert objects.create("k", data)
    assert objects.get("k") == data


def test_objects_travel(objects: Objects) -> None:
    assert pickle.loads(pickle.dumps(objects)) == objects


def test_a_path_and_a_file_url_are_the_same_place(tmp_path: Path) -> None:
    spaced = tmp_path / "with space"
    assert open_objects(spaced) == open_objects(str(spaced)) == open_objects(spaced.as_uri())


@pytest.mark.parametrize("url", ["gs://bucket", "file://otherhost/x"])
def test_other_places_are_not_in_this_version(url: str) -> None:
    with pytest.raises(ValueError, match="not in this version"):
        open_objects(url)


def test_a_store_is_not_a_file_and_not_nothing(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ValueError, match="is a file; a store is a directory"):
        open_objects(file)
    with pytest.raises(ValueError, match="empty path"):
        local_path("")


def test_probe_accepts_the_place_and_leaves_nothing(objects: Objects) -> None:
    probe(objects)
    assert list(objects.list("")) == []
    assert list(objects.leftovers()) == []


class ReplacingObjects(LocalObjects):
    """A store like some S3 servers: it accepts every conditional write and replaces."""

    def create(self, key: str, data: bytes) -> bool:
        self.put(key, data)
        return True


class ForgetfulObjects(LocalObjects):
    """A store that says no to the second write, but has replaced the first."""

    def create(self, key: str, data: bytes) -> bool:
        known = self.size(key) is None
        self.put(key, data)
        return known


@pytest.mark.parametrize("kind", [ReplacingObjects, ForgetfulObjects])
def test_probe_refuses_a_store_that_replaces(tmp_path: Path, kind: type[LocalObjects]) -> None:
    objects: Objects = kind(tmp_path)
    with pytest.raises(StoreError, match="does not honour create-only writes"):
        probe(objects)
    assert list(objects.list("")) == []


def lock_and_die(path: str) -> None:
    with Path(path).open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        os._exit(0)


@pytest.mark.process
def test_a_lock_ends_with_its_process(local: LocalObjects) -> None:
    local.put("k", b"old")
    assert run_in_process(lock_and_die, local.location("k")) is None
    assert local.replace("k", b"old", b"new") is True


def test_a_replacement_that_hangs_is_named(
    local: LocalObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    local.put("k", b"old")
    monkeypatch.setattr("clipneuron.store.objects.local._LOCK_SECONDS", 0.05)
    with open(local.location("k"), "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match="another process has been replacing it"):
            local.replace("k", b"old", b"new")
    assert local.get("k") == b"old"


@pytest.mark.parametrize("write", ["create", "put"])
@pytest.mark.parametrize("call", ["link", "fsync"])
def test_a_full_disk_is_explained_and_leaves_nothing(
    local: LocalObjects, monkeypatch: pytest.MonkeyPatch, write: str, call: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    if (write, call) == ("put", "link"):
        monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StoreError, match=r"a/k: No space left on device.*free some space"):
        getattr(local, write)("a/k", b"data")
    monkeypatch.undo()
    assert list(local.list("")) == []
    assert leftovers(local.root) == []


def write_beyond_the_limit(root: Path) -> str:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    objects = LocalObjects(root)
    try:
        objects.create("k", b"x" * 5000)
    except StoreError as error:
        return f"{error} | {list(objects.list(''))} | {leftovers(root)}"
    return "written"


@pytest.mark.process
def test_a_write_that_stops_half_way_shows_nothing(tmp_path: Path) -> None:
    told = run_in_process(write_beyond_the_limit, tmp_path)
    assert "File too large" in told
    assert "free some space" in told
    assert told.endswith("| [] | []")


def test_a_file_system_without_links_is_refused(
    local: LocalObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(os, "link", unsupported)
    with pytest.raises(StoreError, match="no hard links"):
        probe(local)


def test_a_denied_write_is_explained(local: LocalObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "mkdir", denied)
    with pytest.raises(StoreError, match="Permission denied: check who owns it"):
        local.put("k", b"x")
