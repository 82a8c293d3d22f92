"""What the command line says of itself, and how soon."""

import subprocess
import sys

import pytest

from clipneuron.cli import main

VERBS = ("plan", "run", "reproduce", "class-prompts", "attack", "review", "trace")
VERBS += ("status", "retry-failed", "verify", "vacuum", "tables", "doctor")


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    out = capsys.readouterr().out
    for verb in VERBS:
        assert f"\n    {verb}" in out


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_has_help_with_examples(verb, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([verb, "--help"])
    assert f"examples:\n  clipneuron {verb}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "spared"),
    [
        (["--help"], {"torch", "ray", "pyarrow", "rich", "numpy", "s3fs"}),
        (["status", "--store", "nowhere"], {"torch", "ray", "open_clip", "s3fs"}),
    ],
)
def test_heavy_libraries_are_not_imported_for_nothing(words, spared, tmp_path):
    """Their import takes seconds, which a person who asks for help or for the status does not have."""
    program = (
        "import sys\nfrom clipneuron.cli import main\n"
        f"try:\n    main({words!r})\nexcept SystemExit:\n    pass\n"
        "print('imported', *sorted(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    imported = set(result.stdout.rpartition("imported")[2].split())
    assert "clipneuron.cli" in imported
    assert not spared & imported


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
