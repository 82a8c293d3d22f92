"""docs/cluster.md: its commands exist with the options it gives them, and its policy grants what is used."""

import json
import re
import shlex

import pytest
from ray.dashboard.modules.job.cli import job_cli_group
from ray.scripts.scripts import cli as ray_cli

from clipneuron.cli import build_parser
from tests.deploy.places import ROOT

TEXT = (ROOT / "docs" / "cluster.md").read_text()


def commands() -> list[list[str]]:
    """Words of every command in a code block or between backticks, one command each."""
    lines = re.sub(r"\\\n\s*", " ", TEXT).splitlines()
    blocks = [line for line in lines if line.startswith("    ") and "{" not in line]
    inline = re.findall(r"`((?:clipneuron|ray) [^`]+)`", TEXT)
    pieces = [
        piece
        for line in blocks + inline
        for piece in re.split(r"&&| -- ", line.split("#")[0].split(">")[0])
    ]
    found = [shlex.split(piece) for piece in pieces]
    return [words[_start(words) :] for words in found if _start(words) is not None]


def _start(words: list[str]) -> int | None:
    names = ("clipneuron", "python", "ray")
    return next((place for place, word in enumerate(words) if word in names), None)


OURS = [words for words in commands() if words[0] != "ray"]
RAYS = [words for words in commands() if words[0] == "ray"]


def test_there_are_commands_of_both_kinds():
    assert len(OURS) >= 6
    assert {words[1] for words in RAYS} >= {"up", "down", "start", "stop", "job", "dashboard"}


@pytest.mark.parametrize("words", OURS, ids=" ".join)
def test_our_commands_parse(words):
    arguments = words[1:] if words[0] == "clipneuron" else ["run", *words[3:]]
    if len(arguments) == 1:  # a verb that is named in passing
        arguments = [*arguments, "--help"]
    if arguments[-1] == "--help":
        with pytest.raises(SystemExit, match=r"^0$"):
            build_parser().parse_args(arguments)
    else:
        build_parser().parse_args(arguments)


@pytest.mark.parametrize("words", RAYS, ids=" ".join)
def test_rays_commands_and_options_exist(words):
    group = job_cli_group if words[1] == "job" else ray_cli
    command = group.commands[words[2 if words[1] == "job" else 1]]
    known = {option for parameter in command.params for option in parameter.opts}
    asked = {word.split("=")[0] for word in words if word.startswith("--")}
    assert asked <= known


def test_the_policy_grants_what_the_store_uses_and_no_more():
    start = TEXT.index('{"Version"')
    policy = json.JSONDecoder().raw_decode(TEXT[start:])[0]
    actions: set[str] = set()
    for statement in policy["Statement"]:
        assert statement["Effect"] == "Allow"
        named = statement["Action"]
        actions |= {named} if isinstance(named, str) else set(named)
    assert actions == {"s3:GetObject", "s3:PutObject", "s3:ListBucket", "s3:DeleteObject"}
    pictures = [s for s in policy["Statement"] if s["Resource"] == "arn:aws:s3:::PICTURES/*"]
    assert [s["Action"] for s in pictures] == ["s3:GetObject"], "pictures are only read"


def test_its_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#:]+)\)", TEXT):
        assert (ROOT / "docs" / target).exists(), target
