"""What was damaged after it was committed is an error that says what to do, never other numbers."""

import io
import random
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clipneuron.store import parquet
from clipneuron.store.errors import StoreError
from clipneuron.store.store import Run
from tests.samples.tables import data_keys, means, new_run

Read = Callable[[Run], object]
READS: dict[str, Read] = {
    "whole": lambda run: run.read("calibrate", "means"),
    "columns": lambda run: run.read("calibrate", "means", columns=["coefficients"]),
    "filters": lambda run: run.read("calibrate", "means", filters=[("neuron", ">=", 0)]),
    "scan": lambda run: list(run.scan("calibrate", "means")),
}


@pytest.fixture
def run(place: str) -> Run:
    run = new_run(place)
    run.commit("calibrate", "00000", {"means": means(1.5)})
    return run


@pytest.fixture
def key(run: Run) -> str:
    return data_keys(run)[0]


def read_or_complaint(run: Run) -> str:
    try:
        return str(READS["columns"](run))
    except StoreError as error:
        return str(error)


def flip(run: Run, key: str, place: int, bit: int = 0) -> None:
    data = bytearray(run.objects.get(key))
    data[place % len(data)] ^= 1 << bit
    run.objects.put(key, bytes(data))


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_missing_object_is_named_with_the_repair(run: Run, key: str, read: Read) -> None:
    run.objects.delete(key)
    with pytest.raises(StoreError, match=rf"{key} is missing: delete the marker .* run the same"):
        read(run)
    where = run.objects.location(key)
    assert run.verify() == [f"{where} is missing; commits/calibrate/00000.json names it"]


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_truncated_object_is_an_error(run: Run, key: str, read: Read) -> None:
    data = run.objects.get(key)
    run.objects.put(key, data[:-1])
    with pytest.raises(StoreError, match=f"has {len(data) - 1} bytes instead of {len(data)}"):
        read(run)
    [problem] = run.verify("calibrate")
    assert f"{key} has {len(data) - 1} bytes instead of {len(data)}" in problem


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_an_object_of_the_right_length_but_other_bytes_is_an_error(
    run: Run, key: str, read: Read
) -> None:
    run.objects.put(key, b"\0" * len(run.objects.get(key)))
    with pytest.raises(StoreError, match="is damaged: its bytes are not those that were committed"):
        read(run)
    assert "is damaged" in run.verify()[0]


@settings(max_examples=60)
@example(flipped=39050, bit=0, columns=True)  # the header of a page, which no checksum covers
@given(flipped=st.integers(0, 10**6), bit=st.integers(0, 7), columns=st.booleans())
@pytest.mark.slow
def test_any_flipped_bit_is_an_error_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, flipped: int, bit: int, columns: bool
) -> None:
    run = new_run(tmp_path_factory.mktemp("flip"))
    run.commit("calibrate", "00000", {"means": means(1.5)})
    flip(run, data_keys(run)[0], flipped, bit)
    assert len(run.verify()) == 1
    if not columns:
        with pytest.raises(StoreError, match="is damaged"):
            READS["whole"](run)
        return
    seen = read_or_complaint(run)
    assert "is damaged" in seen or seen == str(means(1.5).select(["coefficients"]))


@pytest.mark.parametrize("filters", [None, [("neuron", ">=", 0)], [[("neuron", ">=", 0)]]])
def test_a_column_is_never_read_with_fewer_rows(filters: object) -> None:
    good = parquet.encode(means(1.5))
    whole = means(1.5).select(["neuron"])
    for place in range(4, len(good) - len(parquet.footer(good))):
        data = bytearray(good)
        data[place] ^= 2
        try:
            assert parquet.decode(bytes(data), ["neuron"], filters).equals(whole)
        except (pa.ArrowException, OSError):
            continue


def test_a_flipped_byte_in_a_footer_is_an_error_for_those_who_read_a_column(
    run: Run, key: str
) -> None:
    good = run.objects.get(key)
    for place in range(len(good) - len(parquet.footer(good)), len(good), 80):
        flip(run, key, place, place % 8)
        with pytest.raises(StoreError, match="is damaged"):
            READS["columns"](run)
        run.objects.put(key, good)


def noise() -> pa.Table:
    """Values that can't be compressed: no decompressor would notice that one of them has changed."""
    random.seed(1)
    rows = means(0.0).to_pylist()
    rows = [row | {"coefficients": [random.random() for _ in range(50)]} for row in rows]
    return pa.Table.from_pylist(rows, schema=means(0.0).schema)


def flip_a_value(run: Run, key: str) -> None:
    column = pq.read_metadata(io.BytesIO(run.objects.get(key))).row_group(0).column(3)
    flip(run, key, column.data_page_offset + column.total_compressed_size - 100)


def test_a_flipped_byte_in_a_data_page_is_never_another_number(run: Run) -> None:
    run.commit("noise", "00000", {"means": noise()})
    [key] = run.objects.list("data/noise/")
    flip_a_value(run, key)
    unchecked = pq.read_table(io.BytesIO(run.objects.get(key)))
    assert not unchecked.equals(noise()), "without a check, other numbers are read"
    for columns in (None, ["coefficients"]):
        with pytest.raises(StoreError, match="is damaged"):
            run.read("noise", "means", columns=columns)
    with pytest.raises((pa.ArrowException, OSError)):
        run.dataset("noise", "means").to_table()


def test_a_damaged_marker_is_named_with_the_repair(run: Run) -> None:
    run.objects.put("commits/calibrate/00000.json", b'{"stage": "calibrate"')
    with pytest.raises(StoreError, match=r"00000\.json is damaged .*: delete it and run"):
        run.committed("calibrate")
    [problem] = run.verify()
    assert "00000.json is damaged" in problem


def test_the_repair_repairs(run: Run, key: str) -> None:
    run.objects.delete(key)
    run.objects.delete("commits/calibrate/00000.json")
    run.commit("calibrate", "00000", {"means": means(1.5)})
    assert run.verify() == []
    assert run.read("calibrate", "means").equals(means(1.5))


def test_verify_looks_at_every_stage_and_finds_every_problem(run: Run) -> None:
    run.commit("later", "00000", {"means": means(2.0)})
    run.commit("later", "00001", {"means": means(3.0)})
    keys = data_keys(run)
    run.objects.delete(keys[0])
    run.objects.put(keys[2], b"")
    looked: list[int] = []
    assert len(run.verify(advance=looked.append)) == 2
    assert sum(looked) == 3
    assert len(run.verify("later")) == 1
    assert run.verify("none") == []
