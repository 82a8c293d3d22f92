"""docs/schedule.md: its commands run, and print what it says."""

import re
import shlex
from pathlib import Path

import pytest

from clipneuron.cli import main
from clipneuron.store.leases import _BEATS, SECONDS
from clipneuron.store.store import Store
from tests.operations.test_runs import made

PAGE = (Path(__file__).parents[2] / "docs" / "schedule.md").read_text()
COMMANDS = re.findall(r"^    (clipneuron .+)$", PAGE, re.MULTILINE)


def test_there_are_commands_of_every_kind():
    assert {shlex.split(command)[1] for command in COMMANDS} == {"schedule", "runs", "vacuum"}
    assert len(COMMANDS) == 8


@pytest.mark.parametrize("command", [each for each in COMMANDS if " schedule " in each])
def test_its_schedules_are_written(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(command)[1:]) == 0, capsys.readouterr().err
    if "--as crontab" in command:
        told = capsys.readouterr().out.splitlines()[-1].partition("clipneuron run")
        assert f"clipneuron run{told[2]}\n" in PAGE
        assert told[0].startswith("15 2 * * * cd ")


@pytest.mark.parametrize("command", [each for each in COMMANDS if " schedule " not in each])
def test_its_other_commands_run(command, tmp_path, capsys):
    made(Store(tmp_path), "vit_b_32", 1)
    assert main(shlex.split(command.replace("s3://runs", str(tmp_path)))[1:]) == 0
    assert "vit_b_32" in capsys.readouterr().out or "vacuum" in command


def test_times_are_as_it_says():
    assert f"every {SECONDS / _BEATS:.0f} seconds and expires {SECONDS:.0f} seconds" in PAGE
