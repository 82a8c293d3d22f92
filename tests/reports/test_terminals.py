"""Text of data and models reaches a terminal as it is, wherever in the package it is written."""

import ast
import io
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import clipneuron
from clipneuron.cli import main
from clipneuron.engine.meters import meter
from clipneuron.reports import printing
from clipneuron.reports.consoles import Console
from clipneuron.reports.drawing import Row, contact_sheet
from clipneuron.reports.printing import VisibleFormatter, one_line, visible
from clipneuron.sweep.neurons import NeuronCard
from clipneuron.sweep.sheet import neurons_sheet

HOSTILE = ["[/dog]", "[bold]", "[link=x]", ":cat:", "=HYPERLINK(1)", "a|b", "<script>", "[red]x[/]"]
STEERING = "\x1b[2J\x1b]8;;http://x\x07 \x9b31m \u202etxt.exe\u2066 a\u200bb \x08\r\x7f\ufeff"
"""Clears the screen, makes a link, colours, turns letters around, hides one, goes back, ends a line's text."""


def console(**options) -> Console:
    return Console(file=io.StringIO(), width=200, **options)


def written(on: Console) -> str:
    return on.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_console_takes_text_literally(text: str):
    shown = console()
    shown.print(f"pool {text}")
    assert written(shown) == f"pool {text}\n"


def test_nothing_that_steers_a_terminal_is_left():
    for shown in (visible(STEERING), one_line(STEERING)):
        assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in shown)
        assert not set(shown) & set("\u202e\u2066\u200b\ufeff")
        assert "<U+202E>txt.exe<U+2066> a<U+200B>b" in shown
    shown = console()
    shown.print(STEERING)
    assert "\x1b" not in written(shown)
    assert "␛[2J" in written(shown)


def test_what_belongs_to_a_text_stays():
    text = "→ ± “quoted” ünï 👩\u200d🚀 می\u200cخواهم\nnext\tline"
    assert visible(text) == text
    assert one_line("a\nb\tc") == "a␊b␉c"


def test_print_shows_what_the_built_in_one_would_send(capsys: pytest.CaptureFixture):
    printing.print("not usable:", Path("a\x1b[1m.png"), 3)
    printing.print("\x1bc", file=sys.stderr)
    assert capsys.readouterr() == ("not usable: a␛[1m.png 3\n", "␛c\n")


def test_the_log_steers_no_terminal():
    record = logging.LogRecord("x", logging.WARNING, "", 0, "lost %s", ("\x1b[1mshard",), None)
    assert VisibleFormatter("%(message)s").format(record) == "lost ␛[1mshard"


def test_an_error_about_a_hostile_name_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture):
    place = tmp_path / "[bold]\x1b[31mred"
    assert main(["run", "--images", str(place), "--model", "demo", "--store", str(tmp_path)]) == 1
    assert "[bold]␛[31mred" in capsys.readouterr().err


def test_an_output_without_the_letters_of_a_text_gets_an_escape(monkeypatch: pytest.MonkeyPatch):
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    monkeypatch.setattr(sys, "stdout", ascii_only)
    printing.tolerate_any_text()
    printing.print("Kätze \udcff")
    assert ascii_only.buffer.getvalue() == b"K\\xe4tze \\udcff\n"  # type: ignore[attr-defined]


@pytest.mark.parametrize("terminal", [False, True])
def test_a_meter_shows_the_name_of_a_stage_as_it_is(terminal: bool):
    out = io.StringIO()
    shown = Console(file=out, width=100)
    shown._force_terminal = terminal
    with meter(shown, "texts [/dog]", 2, 0, "texts") as bar:
        bar.advance(2)
    assert "texts [/dog]" in out.getvalue()


def test_a_contact_sheet_draws_any_text():
    words = [("x" * 60, 1.0), ("a\nb\x1b", -1.0), ("[/dog]", 1.0)]
    card = NeuronCard(0, 0, 0.1, 0.1, 0.1, 0.1, (), (), (), tuple(words))
    sheet = neurons_sheet([card], lambda index: b"", "t\nitle [/] \x1b")
    without = contact_sheet([Row("layer 0, neuron #0", "", [], [])], "", 10)
    assert sheet.size == without.size  # a line break in a text adds no line


PACKAGE = Path(clipneuron.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
HOMES = {
    ("clipneuron.reports.fitting", "FittingTable"): "reports/markup.py",
    ("rich", "console"): "reports/consoles.py",
}
"""Where things of rich may be had, which interpret strings; others type them at most."""
THEMSELVES = ("reports/printing.py", "reports/fitting.py")
"""What `print` and the tables of markup.py are made of."""


def _imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Module and name of what is imported where it runs, not under TYPE_CHECKING."""
    typed = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node not in typed:
            yield from ((node.module or "", alias.name) for alias in node.names)
        if isinstance(node, ast.Import) and node not in typed:
            yield from ((alias.name, "") for alias in node.names)


def strays(source: str, place: str) -> list[str]:
    """What a module at this place uses that would interpret text of data and models."""
    if not re.search(r"\brich\b|print\(|\.write\(|from_markup", source):
        return []  # parsing all modules takes two seconds
    tree = ast.parse(source)
    imported = list(_imports(tree))
    found = [
        f"{module}.{name}"
        for module, name in imported
        if ((module, name) in HOMES or module.split(".")[0] == "rich")
        and module not in ("rich.progress", "rich.text")
        and HOMES.get((module, name)) != place
    ]
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if called == "print" and ("clipneuron.reports.printing", "print") not in imported:
            found.append("the built-in print")
        if called.endswith(("stdout.write", "stderr.write", "from_markup")):
            found.append(called)
        if called == "TextColumn" and not (
            node.args[0].value == "left"  # type: ignore[attr-defined]
            or "markup=False" in ast.unparse(node)
        ):
            found.append(ast.unparse(node))
    return found


def test_every_module_writes_through_what_takes_text_literally():
    found = {
        place: strays(module.read_text(), place)
        for module in MODULES
        for place in [module.relative_to(PACKAGE).as_posix()]
        if place not in THEMSELVES
    }
    assert {place: names for place, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "source",
    [
        "print('x')",
        "from rich.console import Console",
        "from rich import print",
        "import rich",
        "from rich.table import Table\nTable('x')",
        "import sys\nsys.stdout.write('x')",
        "from rich.progress import TextColumn\nTextColumn('{task.description}')",
    ],
)
def test_a_module_that_forgets_is_found(source: str):
    assert strays(source, "cli/new.py")
