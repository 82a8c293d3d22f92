"""What the command line says of itself, of this machine and of the installation."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from clipneuron.cli import build_parser, doctor, main
from clipneuron.cli.operations.submit import VERBS as SUBMITTED

VERBS = tuple(build_parser().verbs)


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    out = capsys.readouterr().out
    for verb in VERBS:
        assert f"\n    {verb}" in out


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_has_help_with_examples(verb, capsys):
    assert f"examples:\n  clipneuron {verb}" in shown([verb], capsys)


@pytest.mark.parametrize(
    "words", [[], *([verb] for verb in VERBS), *(["submit", verb] for verb in SUBMITTED)]
)
def test_every_example_is_understood(words, capsys):
    for line in examples(shown(words, capsys)):
        build_parser().read(shlex.split(line)[1:])


def shown(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The help that the words ask for."""
    with pytest.raises(SystemExit, match="0"):
        main([*words, "--help"])
    return capsys.readouterr().out


def examples(text: str) -> list[str]:
    """The commands among the examples, each on a line of its own, without what a pipe passes them to."""
    _, _, rest = text.replace("\\\n", " ").partition("examples:\n")
    return re.findall(r"^  (clipneuron .*?)(?: \| .*)?$", rest, re.MULTILINE)


def test_doctor_lists_what_there_is_and_no_secret(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://me:hush@store.example:9000")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "hush-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush-hush")
    main(["doctor", "--store", str(tmp_path / "not" / "yet")])
    out = capsys.readouterr().out
    for subject in ("torch", "ray", "Python", "cores", "memory", "/dev/shm", "disk", "demo model"):
        assert subject in out
    assert "https://store.example:9000 (AWS_ENDPOINT_URL)" in out
    assert "in the environment" in out
    assert "hush" not in out


def test_doctor_looks_for_everything_that_is_needed_and_finds_it(capsys, tmp_path):
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    needed, extra = project["dependencies"], project["optional-dependencies"]["generation"]
    assert set(doctor.REQUIRED) == {re.match(r"[\w-]+", line)[0] for line in needed}
    assert set(doctor.GENERATION) == {re.match(r"[\w-]+", line)[0] for line in extra}
    assert main(["doctor", "--store", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "MISSING" not in out
    assert re.search(r"ok +demo model +8.2 MB", out)


def test_doctor_finds_credentials_in_a_file(capsys, tmp_path, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    main(["doctor", "--store", "s3://bucket/runs"])
    out = capsys.readouterr().out
    assert "none in the environment or in a file" in out
    assert "GiB free at" not in out
    file.write_text("[default]\n")
    main(["doctor", "--store", "s3://bucket/runs"])
    assert f"in {file}, profile" in capsys.readouterr().out
