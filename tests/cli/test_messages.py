"""docs/messages.md: every message that it quotes is one of the package's, and every option that it names exists."""

import argparse
import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from clipneuron.cli import build_parser

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "messages.md").read_text()
HOLE = "…"
MESSAGES = [
    message
    for row in re.findall(r"^\| (`.+?`) \|", PAGE, re.MULTILINE)
    for message in re.findall(r"`([^`]+)`", row)
]


def texts() -> Iterator[str]:
    """Every literal text of the package; what is filled in is a hole."""
    for path in (ROOT / "clipneuron").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = [
                    part.value if isinstance(part, ast.Constant) else HOLE for part in node.values
                ]
                yield "".join(map(str, parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


@pytest.fixture(scope="module")
def known() -> list[str]:
    return list(texts())


def test_there_are_messages():
    assert len(MESSAGES) > 50


@pytest.mark.parametrize("message", MESSAGES)
def test_a_quoted_message_is_one_of_the_package(known, message):
    parts = [re.escape(part.strip()) for part in message.split(HOLE) if part.strip()]
    wanted = re.compile(".*".join(parts), re.DOTALL)
    assert any(map(wanted.search, known))


def test_the_options_it_names_exist(known):
    """Those of verbs, and those that `submit` adds to them."""
    options = {
        word
        for parser in parsers(build_parser())
        for action in parser._actions
        for word in action.option_strings
    }
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE)) <= options.union(known)


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and those of its verbs."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in {id(each): each for each in action.choices.values()}.values():
                yield from parsers(child)
