import shlex

import pytest

from clipneuron.cli import main
from clipneuron.cli.operations.schedule import EXAMPLES

RUN = ["run", "--recipe", "demo", "--store", "runs"]


def schedule(*words: str) -> int:
    return main(["schedule", "15 2 * * *", *words])


def test_a_line_of_a_crontab_is_printed(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert schedule(*RUN, "--as", "crontab", "--grow") == 0
    told = capsys.readouterr()
    line = told.out.splitlines()[-1]
    words = shlex.split(line)
    assert words[:7] == ["15", "2", "*", "*", "*", "cd", str(tmp_path)]
    assert words[9:] == [*RUN, "--grow", "--overlap", "forbid"]
    assert words[8].startswith("/")
    assert told.err.startswith("next: ")
    assert not list(tmp_path.iterdir())


def test_options_stand_anywhere_and_overlap_is_the_users(capsys):
    assert schedule("--as", "crontab", *RUN[:1], "--overlap=wait", *RUN[1:]) == 0
    assert "--overlap=wait --recipe demo" in capsys.readouterr().out


def test_files_are_written_once(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    words = [*RUN, "--as", "systemd", "--job-name", "nightly", "--out", "units"]
    assert schedule(*words) == 0
    names = {path.name for path in (tmp_path / "units").iterdir()}
    assert names == {"nightly.service", "nightly.timer"}
    assert schedule(*words) == 1
    assert "exists already" in capsys.readouterr().err
    crontab = [*RUN, "--as", "crontab", "--out", "new/cron.txt"]
    assert schedule(*crontab) == 0
    assert (tmp_path / "new" / "cron.txt").read_text().endswith(" --overlap forbid\n")


def test_what_is_printed_is_what_is_written(capsys, tmp_path):
    words = [*RUN, "--images", "a%b \u00fc $x", "--as", "crontab"]
    assert schedule(*words) == 0
    printed = capsys.readouterr().out
    assert schedule(*words, "--out", str(tmp_path / "file")) == 0
    assert (tmp_path / "file").read_text() == printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["15 2 * *", *RUN, "--as", "crontab"], "has 4 fields"),
        (["@daily", *RUN, "--as", "crontab", "--atoms", "0"], "atoms (--atoms)"),
        (["@daily", *RUN, "--as", "crontab", "--time-zone", "Mars"], "no time zone 'Mars'"),
        (["@daily", *RUN, "--as", "kubernetes"], "--container"),
    ],
)
def test_a_mistake_is_one_sentence(capsys, words, message):
    assert main(["schedule", *words]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["@daily", "status", "--as", "crontab"], "'status' is no command to schedule"),
        (["@daily", *RUN, "--as", "crontab", "--grwo"], "run: there is no option --grwo; did you"),
        (["@daily", *RUN, "--as", "cron"], "'cron' is no scheduler"),
        (["@daily", *RUN], "--as"),
        (["@daily", "run", "--recipe", "demo", "--as", "crontab"], "--store"),
    ],
)
def test_a_word_that_means_nothing_is_named(capsys, words, message):
    with pytest.raises(SystemExit, match="2"):
        main(["schedule", *words])
    assert message in capsys.readouterr().err


def test_the_examples_of_the_help_run(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    lines = EXAMPLES.replace("\\\n", " ").splitlines()
    commands = [line.strip() for line in lines if line.startswith("  clipneuron ")]
    assert len(commands) == 5
    for command in commands:
        assert main(shlex.split(command)[1:]) == 0, capsys.readouterr().err
