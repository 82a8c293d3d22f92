"""docs/crashes.md: its points are numbered, and every test that it links to exists."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (DOCS / "crashes.md").read_text().splitlines()
    if re.match(r"\| \d+ \|", line)
]
_LINK = re.compile(r"\[(test_\w+)\]\(([^)]+)\)")
LINKS = {(name, place) for row in ROWS for name, place in _LINK.findall(row[-1])}


def test_the_points_are_numbered_and_each_is_told_whole() -> None:
    assert [int(row[0]) for row in ROWS] == list(range(1, len(ROWS) + 1))
    assert len(ROWS) > 20
    assert {len(row) for row in ROWS} == {5}
    assert all(cell for row in ROWS for cell in row)
    assert all(_LINK.search(row[-1]) for row in ROWS), "a point without a test"


@pytest.mark.parametrize(("name", "place"), sorted(LINKS))
def test_every_linked_test_exists(name: str, place: str) -> None:
    assert re.search(rf"^def {name}\(", (DOCS / place).resolve().read_text(), re.MULTILINE)
