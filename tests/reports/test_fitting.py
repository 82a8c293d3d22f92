"""A table that is too wide for its terminal loses columns, not letters."""

import io

import pytest
from rich.console import Console

from clipneuron.reports.markup import terminal

PROSE = "A neuron's effect is significant on less than two per cent of all of the pictures"
HEADINGS = ("stage", "claim", "rows", "rate", "left")
ROWS = [
    ["descriptions-class-descriptions", PROSE, "1,281,167 images", "8,123/s", "1 d 1 h"],
    ["plan", PROSE, "12 images", "-", "-"],
]
SPARE = ("rate", "rows", "left")


def shown(width: int, table=None, **options) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    console.print(table or terminal("t", HEADINGS, ROWS, **{"spare": SPARE, **options}))
    return console.file.getvalue()  # type: ignore[attr-defined]


def headings(out: str) -> list[str]:
    line = next(line for line in out.splitlines() if "┃" in line)
    return [cell.strip() for cell in line.strip("┃").split("┃")]


@pytest.mark.parametrize(
    ("width", "gone"),
    [(160, ()), (120, ()), (95, ("rate",)), (80, ("rate", "rows")), (60, SPARE)],
)
def test_columns_go_in_their_order_until_the_rest_can_be_read(width, gone):
    out = shown(width)
    assert headings(out) == [name for name in HEADINGS if name not in gone]
    said = f"not shown at this width: {', '.join(gone)}"
    assert (said in out) == bool(gone)
    assert "descriptions-class-descriptions" in out, "no word is cut"
    assert max(map(len, out.splitlines())) <= width


def test_a_table_is_whole_again_on_a_wider_terminal():
    table = terminal("t", HEADINGS, ROWS, spare=SPARE)
    assert len(headings(shown(60, table))) == 2
    assert headings(shown(160, table)) == list(HEADINGS)


def test_a_table_that_can_spare_nothing_keeps_all_columns():
    assert headings(shown(60, spare=())) == list(HEADINGS)


def test_headings_and_rows_stay_together_where_columns_went():
    out = shown(80)
    row = next(line for line in out.splitlines() if " plan " in line)
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert cells[0] == "plan"
    assert cells[-1] == "-"
