"""The Dockerfile: what it must and must not say, and that its installation works. No image is built here."""

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.deploy.places import ROOT, check_installation, copy_of, is_tracked, run

BASE = "python:3.11-slim-bookworm"


@dataclass
class Stage:
    """One FROM of a Dockerfile with what follows it."""

    base: str
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, keyword: str) -> list[str]:
        return [rest for word, rest in self.steps if word == keyword]

    @property
    def environment(self) -> dict[str, str]:
        pairs = [word.split("=", 1) for line in self.all("ENV") for word in shlex.split(line)]
        return dict(pairs)

    @property
    def copied(self) -> list[str]:
        """Sources of COPY in the repository."""
        lines = [line.split() for line in self.all("COPY") if not line.startswith("--from")]
        return [source.rstrip("/") for words in lines for source in words[:-1]]


def stages(text: str) -> dict[str, Stage]:
    joined = re.sub(r"\\\n", " ", re.sub(r"(?m)^\s*#.*\n", "", text))
    found: list[Stage] = []
    for line in filter(str.strip, joined.splitlines()):
        keyword, rest = line.strip().split(None, 1)
        if keyword == "FROM":
            base, _, name = rest.split()
            found.append(Stage(base, name))
        elif found:
            found[-1].steps.append((keyword, " ".join(rest.split())))
        else:
            assert (keyword, rest) == ("ARG", f"BASE={BASE}")
    return {stage.name: stage for stage in found}


STAGES = stages((ROOT / "Dockerfile").read_text())
EVERY = [(keyword, rest) for stage in STAGES.values() for keyword, rest in stage.steps]


def test_the_targets_build_on_a_pinned_base():
    assert {name: stage.base for name, stage in STAGES.items()} == {
        "build": "${BASE}",
        "cpu": "${BASE}",
        "cuda": "cpu",
    }


def test_only_known_instructions_are_used_and_nothing_comes_from_a_url():
    assert {keyword for keyword, _ in EVERY} <= {
        *("COPY", "RUN", "ENV", "WORKDIR", "LABEL", "USER", "CMD"),
    }
    assert not [rest for keyword, rest in EVERY if keyword in ("ADD", "COPY") and "://" in rest]
    assert not [
        rest for keyword, rest in EVERY if keyword == "RUN" and re.search("curl|wget", rest)
    ]


def test_every_package_is_pinned_by_a_hash():
    installs = [rest for _, rest in EVERY if "pip install" in rest]
    assert len(installs) == 3
    for line in installs:
        words = shlex.split(line)
        locked = "--require-hashes" in words and words[-2] == "-r"
        project = "--no-deps" in words and words[-1] == "."
        assert locked or project, line
    for name in ("uv.lock", "all.lock"):
        requirements = (ROOT / "requirements" / name).read_text()
        assert not re.search(r"(?m)^[a-z0-9][^\n=]*(?<!\\)$", requirements), (
            "a line without ==version"
        )


@pytest.mark.process
def test_what_is_copied_is_in_git_and_passes_dockerignore():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert "*" in ignored
    for source in STAGES["build"].copied:
        assert is_tracked(source)
        assert source.split("/")[0] in allowed
    assert allowed == {source.split("/")[0] for source in STAGES["build"].copied}
    assert STAGES["cpu"].copied == STAGES["cuda"].copied == []


def test_it_runs_as_a_plain_user_without_build_tools():
    for name in ("cpu", "cuda"):
        users = STAGES[name].all("USER") or STAGES[STAGES[name].base].all("USER")
        assert users[-1] == "clipneuron"
    last = [keyword for keyword, _ in STAGES["cpu"].steps]
    assert "RUN" not in last[last.index("USER") :], "nothing is installed after the user is set"
    apt = next(line for line in STAGES["cpu"].all("RUN") if "apt-get install" in line)
    assert not re.search(r"gcc|g\+\+|build-essential|-dev\b|make\b", apt)
    assert "rm -rf /var/lib/apt/lists" in apt


def test_the_environment_is_taken_over_whole_and_is_first_on_the_path():
    target = STAGES["build"].environment["VENV"]
    assert STAGES["cpu"].all("COPY") == [f"--from=build {target} {target}"]
    assert STAGES["cpu"].environment["PATH"] == f"{target}/bin:$PATH"
    profile = next(line for line in STAGES["cpu"].all("RUN") if "profile.d" in line)
    assert f"export PATH={target}/bin:$PATH" in profile


def test_it_says_how_it_is_used():
    assert json.loads(STAGES["cpu"].all("CMD")[0]) == ["clipneuron", "--help"]
    labels = dict(word.split("=", 1) for word in shlex.split(STAGES["cpu"].all("LABEL")[0]))
    assert labels["org.opencontainers.image.licenses"] == "MIT"
    assert STAGES["cuda"].environment["NVIDIA_VISIBLE_DEVICES"] == "all"
    assert "NVIDIA_VISIBLE_DEVICES" not in STAGES["cpu"].environment


@pytest.mark.environment
@pytest.mark.process
def test_the_build_stage_installs_a_working_project(tmp_path):
    """Every COPY and RUN of the stage in turn, with /opt and /src in a temporary folder."""
    stage, source = STAGES["build"], tmp_path / "src"
    source.mkdir()
    environment = {
        name: value.replace("/opt/", f"{tmp_path}/opt/")
        for name, value in stage.environment.items()
    }
    # The image keeps no cache; here it only spares the network.
    for name in ("UV_NO_CACHE", "PIP_NO_CACHE_DIR", "UV_LINK_MODE"):
        del environment[name]
    for keyword, rest in stage.steps:
        if keyword == "COPY":
            copy_of([name.rstrip("/") for name in rest.split()[:-1]], source)
        if keyword == "RUN":
            run(rest.replace("/opt/uv", f"{tmp_path}/opt/uv"), source, environment)
    check_installation(Path(environment["VENV"]) / "bin", tmp_path)
