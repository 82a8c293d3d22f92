"""Bars of the short benchmarks: ratios within one run, which another load on the machine changes little."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Bar:
    """A measured ratio and where it must stay."""

    what: str
    ratio: float
    side: Literal["at least", "at most"]
    bound: float
    floor: str = ""
    """What the hardware and the libraries would allow, measured in the same run."""

    @property
    def kept(self) -> bool:
        """Whether the ratio is on the right side; one that is not a number never is."""
        if self.side == "at least":
            return self.ratio >= self.bound
        return self.ratio <= self.bound


def judged(bars: Sequence[Bar]) -> int:
    """Print the table of all bars, and what is wrong to standard error.

    Returns the exit status: 1 where a bar is missed, or nothing was measured.
    """
    print("\n| what | ratio | bar | kept | floor |\n|---|---|---|---|---|")
    for bar in bars:
        kept = "yes" if bar.kept else "NO"
        print(f"| {bar.what} | {bar.ratio:.2f} | {bar.side} {bar.bound:g} | {kept} | {bar.floor} |")
    broken = [bar for bar in bars if not bar.kept]
    for bar in broken:
        said = f"{bar.what}: {bar.ratio:.2f}, expected {bar.side} {bar.bound:g}"
        print(
            f"error: {said}: run the part again alone, then profile what changed", file=sys.stderr
        )
    return int(not bars or bool(broken))
