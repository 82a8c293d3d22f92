"""docs/schedule.md: a lease's times are as it says, and its crontab is what `schedule` prints."""

import re
import shlex
from pathlib import Path

import pytest

from clipneuron.cli import main
from clipneuron.store.leases import _BEATS, SECONDS

PAGE = (Path(__file__).parents[2] / "docs" / "schedule.md").read_text()


def test_its_crontab_is_what_its_first_command_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (command,) = re.findall(r"^    clipneuron (schedule .* --as crontab)$", PAGE, re.MULTILINE)
    assert main(shlex.split(command)) == 0
    told = capsys.readouterr().out.splitlines()[-1].partition("clipneuron run")
    assert f"clipneuron run{told[2]}\n" in PAGE
    assert told[0].startswith("15 2 * * * cd ")


def test_times_are_as_it_says() -> None:
    assert f"every {SECONDS / _BEATS:.0f} seconds and expires {SECONDS:.0f} seconds" in PAGE
