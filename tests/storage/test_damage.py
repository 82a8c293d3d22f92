"""What was damaged after it was committed is an error that says what to do, never other numbers."""

import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipneuron.storage import parquet
from clipneuron.storage.errors import StoreError
from clipneuron.storage.store import Run
from tests.storage.samples import data_files, means, new_run

Read = Callable[[Run], object]
READS: dict[str, Read] = {
    "whole": lambda run: run.read("calibrate", "means"),
    "columns": lambda run: run.read("calibrate", "means", columns=["coefficients"]),
    "filters": lambda run: run.read("calibrate", "means", filters=[("neuron", ">=", 0)]),
    "scan": lambda run: list(run.scan("calibrate", "means")),
}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = new_run(tmp_path)
    run.commit("calibrate", "00000", {"means": means(1.5)})
    return run


@pytest.fixture
def file(run: Run, tmp_path: Path) -> Path:
    return data_files(tmp_path)[0]


def read_or_complaint(run: Run) -> str:
    try:
        return str(READS["columns"](run))
    except StoreError as error:
        return str(error)


def flip(file: Path, place: int, bit: int = 0) -> None:
    data = bytearray(file.read_bytes())
    data[place % len(data)] ^= 1 << bit
    file.write_bytes(data)


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_missing_object_is_named_with_the_repair(run: Run, file: Path, read: Read) -> None:
    file.unlink()
    with pytest.raises(
        StoreError, match=rf"{file.name} is missing: delete the marker .* run the same"
    ):
        read(run)
    assert run.verify() == [f"{file} is missing"]


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_truncated_object_is_an_error(run: Run, file: Path, read: Read) -> None:
    data = file.read_bytes()
    file.write_bytes(data[:-1])
    with pytest.raises(StoreError, match=f"has {len(data) - 1} bytes instead of {len(data)}"):
        read(run)
    assert run.verify("calibrate") == [f"{file} has {len(data) - 1} bytes instead of {len(data)}"]


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_an_object_of_the_right_length_but_other_bytes_is_an_error(
    run: Run, file: Path, read: Read
) -> None:
    file.write_bytes(b"\0" * file.stat().st_size)
    with pytest.raises(StoreError, match="is damaged: its bytes are not those that were committed"):
        read(run)
    assert "is damaged" in run.verify()[0]


@settings(max_examples=60, deadline=None)
@given(place=st.integers(0, 10**6), bit=st.integers(0, 7), columns=st.booleans())
def test_any_flipped_bit_is_an_error_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, place: int, bit: int, columns: bool
) -> None:
    root = tmp_path_factory.mktemp("flip")
    run = new_run(root)
    run.commit("calibrate", "00000", {"means": means(1.5)})
    flip(data_files(root)[0], place, bit)
    assert len(run.verify()) == 1
    if not columns:
        with pytest.raises(StoreError, match="is damaged"):
            READS["whole"](run)
        return
    seen = read_or_complaint(run)
    assert "is damaged" in seen or seen == str(means(1.5).select(["coefficients"]))


def test_a_flipped_byte_in_a_footer_is_an_error_for_those_who_read_a_column(
    run: Run, file: Path
) -> None:
    good = file.read_bytes()
    for place in range(len(good) - len(parquet.footer(good)), len(good), 5):
        flip(file, place, place % 8)
        with pytest.raises(StoreError, match="is damaged"):
            READS["columns"](run)
        file.write_bytes(good)


def test_a_dataset_checks_pages_too(run: Run) -> None:
    # Values that can't be compressed: no decompressor would notice that one of them has changed.
    random.seed(1)
    rows = means(0.0).to_pylist()
    noise = [row | {"coefficients": [random.random() for _ in range(50)]} for row in rows]
    table = pa.Table.from_pylist(noise, schema=means(0.0).schema)
    run.commit("noise", "00000", {"means": table})
    [path] = run.files("noise", "means")
    column = pq.read_metadata(path).row_group(0).column(3)
    flip(Path(path), column.data_page_offset + column.total_compressed_size - 100)
    assert not pq.read_table(path).equals(table), "without a check, other numbers are read"
    dataset = run.dataset("noise", "means")
    with pytest.raises((pa.ArrowException, OSError)):
        dataset.to_table()


def test_a_damaged_marker_is_named_with_the_repair(run: Run) -> None:
    run.objects.put("commits/calibrate/00000.json", b'{"stage": "calibrate"')
    with pytest.raises(StoreError, match=r"00000\.json is damaged .*: delete it and run"):
        run.committed("calibrate")
    [problem] = run.verify()
    assert "00000.json is damaged" in problem


def test_the_repair_repairs(run: Run, file: Path) -> None:
    file.unlink()
    run.objects.delete("commits/calibrate/00000.json")
    run.commit("calibrate", "00000", {"means": means(1.5)})
    assert run.verify() == []
    assert run.read("calibrate", "means").equals(means(1.5))


def test_verify_looks_at_every_stage_and_finds_every_problem(run: Run, tmp_path: Path) -> None:
    run.commit("later", "00000", {"means": means(2.0)})
    run.commit("later", "00001", {"means": means(3.0)})
    files = data_files(tmp_path)
    files[0].unlink()
    files[2].write_bytes(b"")
    assert len(run.verify()) == 2
    assert len(run.verify("later")) == 1
    assert run.verify("none") == []
