"""Every command of README and docs/ runs in a small world or in another test, or has its reason in `ways.py`."""

import argparse
import re
import shlex
from pathlib import Path
from unittest.mock import patch

import pytest
from ray.dashboard.modules.job.cli import job_cli_group
from ray.scripts.scripts import cli as ray_cli

from clipneuron.cli import build_parser
from tests.docs.commands import ALL, COMMANDS, ROOT
from tests.docs.ways import WAYS, Runs, RunsElsewhere, way_of
from tests.docs.world import World, program_of

pytestmark = pytest.mark.slow

RUN = [text for text in COMMANDS if isinstance(way_of(text), Runs)]
ELSEWHERE = [way for way in WAYS if isinstance(way, RunsElsewhere)]
READ = [text for text in COMMANDS if not isinstance(way_of(text), Runs)]
PROGRAMS = [text for text in READ if text.startswith("python ")]
CALLED = [text for text in READ if text not in PROGRAMS]


def marked(text: str) -> object:
    """The command, with the marks of what it starts and how long it takes."""
    way = way_of(text)
    assert isinstance(way, Runs)
    marks = [pytest.mark.process] * way.starts + [pytest.mark.environment] * way.long
    return pytest.param(text, marks=marks)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """One folder with its finished runs for all of them."""
    return World(tmp_path_factory.mktemp("docs"))


def test_every_command_has_a_way_and_every_way_a_command() -> None:
    lost = [text for text in COMMANDS if way_of(text) is None]
    assert not lost, "neither run nor with a reason: tests/docs/ways.py"
    used = {way_of(text) for text in COMMANDS}
    assert [way.of for way in WAYS if way not in used] == [], (
        "no command is of these kinds any more"
    )
    assert len(RUN) > 100


def test_every_verb_is_run_and_has_a_row_on_the_page_of_operations() -> None:
    verbs = set(build_parser().verbs)
    assert {text.split()[1] for text in RUN if text.startswith("clipneuron ")} == verbs
    rows = [each.text for each in ALL if each.page == "docs/operations.md"]
    assert {text.split()[1] for text in rows if text.startswith("clipneuron ")} >= verbs


@pytest.mark.parametrize("text", [marked(text) for text in RUN], ids=RUN)
def test_a_command_runs_and_prints_what_it_should(world: World, text: str) -> None:
    way = way_of(text)
    assert isinstance(way, Runs)
    ended = way.by(world, text)
    assert ended.status == way.status, ended.said
    assert re.search(way.shows, ended.said, re.DOTALL | re.MULTILINE), ended.said
    for name in way.writes:
        assert (world.folder / name).exists(), name


@pytest.mark.parametrize("way", ELSEWHERE, ids=lambda way: way.test)
def test_the_test_that_runs_it_exists(way: RunsElsewhere) -> None:
    file, _, name = way.test.partition("::")
    assert re.search(rf"^def {name}\(", (ROOT / "tests" / file).read_text(), re.MULTILINE)


@pytest.mark.parametrize("text", CALLED, ids=CALLED)
def test_what_is_not_run_here_has_its_options_all_the_same(text: str) -> None:
    program, *words = shlex.split(text)
    if program == "clipneuron":
        build_parser().parse_args(words)
    elif program == "ray":
        group, own = (job_cli_group, words[1:]) if words[0] == "job" else (ray_cli, words)
        known = {option for each in group.commands[own[0]].params for option in each.opts}
        assert {word.split("=")[0] for word in own if word.startswith("--")} <= known
    elif program == "make":
        assert f"\n{words[0]}:" in (ROOT / "Makefile").read_text()


@pytest.mark.environment
@pytest.mark.parametrize("text", PROGRAMS, ids=PROGRAMS)
def test_a_program_that_is_not_run_here_starts_with_its_options(text: str) -> None:
    """It runs until it has read them; many import for seconds before."""
    real = argparse.ArgumentParser.parse_args

    def read_only(self: argparse.ArgumentParser, *given: object) -> None:
        real(self, *given)
        raise SystemExit("read")

    file = Path(ROOT / shlex.split(text)[1])
    if file.suffix == ".py" and "ArgumentParser" not in file.read_text():
        assert len(shlex.split(text)) == 2
        return
    with (
        patch.object(argparse.ArgumentParser, "parse_args", read_only),
        program_of(text) as run,
        pytest.raises(SystemExit, match=r"^read$"),
    ):
        run()


@pytest.mark.parametrize(
    "text", sorted({each.text for each in ALL if each.named_in_passing}), ids=str
)
def test_verbs_and_options_that_sentences_name_exist(text: str) -> None:
    program, verb, *options = shlex.split(text)
    if program == "clipneuron":
        known = build_parser().verbs[verb]
        known.check_options([])
        assert {word for word in options if word.startswith("--")} <= {
            *known._option_string_actions
        }
    elif program == "ray":
        known = {option for each in ray_cli.commands[verb].params for option in each.opts}
        assert {*options} <= known
