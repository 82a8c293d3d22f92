"""A change that is not meant to change numbers changes none: same run, same stages, same tables, bit for bit."""

import json

import pytest

from tests.golden.freeze import FILE, frozen, machine

FROZEN = json.loads(FILE.read_text())


@pytest.fixture(scope="module")
def now(tmp_path_factory):
    return frozen(tmp_path_factory.mktemp("frozen"))


def test_the_run_keeps_its_fingerprint(now):
    assert now["run"] == FROZEN["run"]


@pytest.mark.parametrize("line", FROZEN["stages"])
def test_stages_keep_their_names(now, line):
    assert now["stages"][line] == FROZEN["stages"][line]


def test_tables_keep_their_rows_and_magnitudes(now):
    assert set(now["tables"]) == set(FROZEN["tables"])
    for name, before in FROZEN["tables"].items():
        after = now["tables"][name]
        assert after["rows"] == before["rows"], name
        assert after["magnitudes"] == pytest.approx(before["magnitudes"], rel=1e-3), name


def test_tables_keep_every_bit(now):
    if FROZEN["machine"] != machine():
        pytest.skip(f"the last bits are known of {FROZEN['machine']} only, and this is {machine()}")
    digests = {name: table["sha256"] for name, table in now["tables"].items()}
    assert digests == {name: table["sha256"] for name, table in FROZEN["tables"].items()}
