"""`make bench` fails where a measured ratio is on the wrong side of its bar, and only there."""

import math
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

PROGRAMS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The modules, which measure nothing when they are imported."""
    monkeypatch.syspath_prepend(PROGRAMS)
    import bars
    import floors

    yield SimpleNamespace(Bar=bars.Bar, judged=bars.judged, floors=floors)
    for name in ("bars", "floors"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("ratio", "side", "kept"),
    [
        (10.0, "at least", True),
        (9.99, "at least", False),
        (10.01, "at most", False),
        (10.0, "at most", True),
        (math.nan, "at least", False),
        (math.nan, "at most", False),
    ],
)
def test_a_ratio_is_kept_on_the_right_side_of_its_bar(bench, ratio, side, kept):
    assert bench.Bar("speed", ratio, side, 10).kept is kept


def test_every_bar_is_shown_and_those_that_are_missed_are_named(bench, capsys):
    bars = [
        bench.Bar("fast", 12, "at least", 10, "14: products"),
        bench.Bar("slow", 2, "at most", 1.5),
    ]
    assert bench.judged(bars) == 1
    shown = capsys.readouterr()
    assert "| fast | 12.00 | at least 10 | yes | 14: products |" in shown.out
    assert "| slow | 2.00 | at most 1.5 | NO |" in shown.out
    assert "slow: 2.00, expected at most 1.5" in shown.err
    assert "fast" not in shown.err
    assert bench.judged(bars[:1]) == 0
    assert bench.judged([]) == 1, "nothing measured is nothing kept"


@pytest.mark.parametrize(
    ("ratios", "turns", "status"), [([12], 1, 0), ([9, 12], 2, 0), ([9, 8], 2, 1)]
)
def test_a_part_that_misses_is_measured_once_more(bench, monkeypatch, ratios, turns, status):
    taken = []

    def part():
        taken.append(ratios[len(taken)])
        return [bench.Bar("speed", taken[-1], "at least", 10)]

    monkeypatch.setattr(bench.floors, "PARTS", {"part": part})
    monkeypatch.setattr(bench.floors, "show_machine", lambda: None)
    monkeypatch.setattr(sys, "argv", ["floors.py", "--only", "part"])
    with pytest.raises(SystemExit) as ended:
        bench.floors.main()
    assert (len(taken), ended.value.code) == (turns, status)
