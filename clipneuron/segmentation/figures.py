"""The matrix of a run read back, and the pictures that are worth showing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from clipneuron.lens.attribution.methods import METHODS
from clipneuron.reports.estimates import Estimate
from clipneuron.segmentation.results import SegmentationResults
from clipneuron.store.store import Run
from clipneuron.tables.segmentation import METRICS

CONTROLS = ("center", "random-neurons")
"""Methods that see no picture or no class: the spread of methods is that of the others."""


@dataclass(frozen=True)
class Cell:
    """A method under a protocol: its figures, and what they are compared with."""

    method: str
    protocol: str
    images: int
    maps: int
    figures: Mapping[str, Estimate]
    over: Mapping[str, Estimate]
    """Less those of the second order, paired; empty without it."""
    control: Mapping[str, Estimate]
    """Less its own with another class's text, paired; empty where that is not asked."""


@dataclass(frozen=True)
class Shown:
    """A map that is worth showing: the picture's number, the class, and why."""

    index: int
    image: str
    name: str
    said: tuple[str, ...]
    """IoUs of the second order and of the best method."""


class Figures:
    """The tables `segmentation_scores` and `segmentations` of a run."""

    def __init__(self, run: Run, keys: SegmentationResults) -> None:
        self.run, self.keys = run, keys
        rows = run.read(keys.scores, "segmentation_scores").to_pylist()
        self._cells = {(row["method"], row["protocol"]): _cell(row) for row in rows}

    @property
    def methods(self) -> tuple[str, ...]:
        """In the order of the table."""
        return self.keys.methods

    @property
    def protocols(self) -> tuple[str, ...]:
        """The first is the one that methods are compared under."""
        return self.keys.protocols

    @property
    def main(self) -> str:
        """The protocol that methods are compared under."""
        return self.protocols[0]

    def cell(self, method: str, protocol: str) -> Cell:
        """One cell of the matrix."""
        return self._cells[method, protocol]

    def under(self, protocol: str) -> list[Cell]:
        """All methods under a protocol, those of the greatest mIoU first."""
        cells = [self.cell(method, protocol) for method in self.methods]
        return sorted(cells, key=lambda cell: -cell.figures["miou"].value)

    def best(self, method: str, count: int) -> list[Shown]:
        """The maps of a method with the greatest IoU of the class, a picture once."""
        return self._picked(
            np.argsort(-self._ious[:, self.methods.index(method)], kind="stable"), count
        )

    def worst(self, method: str, count: int) -> list[Shown]:
        """Those with the least."""
        return self._picked(
            np.argsort(self._ious[:, self.methods.index(method)], kind="stable"), count
        )

    def disagreed(self, count: int) -> list[Shown]:
        """Those on which methods differ most: the standard deviation of their IoUs, without the controls."""
        own = [place for place, name in enumerate(self.methods) if name not in CONTROLS] or [0]
        return self._picked(np.argsort(-self._ious[:, own].std(1), kind="stable"), count)

    def _picked(self, order: NDArray[np.intp], count: int) -> list[Shown]:
        found: dict[int, Shown] = {}
        for place in order.tolist():
            index = self._pairs["index"][place].as_py()
            if index not in found and len(found) < count:
                found[index] = self._shown(place)
        return list(found.values())

    def _shown(self, place: int) -> Shown:
        ious = self._ious[place]
        named = dict(zip(self.methods, ious.tolist(), strict=True))
        best = max(named, key=lambda name: named[name])
        shown = ["second-order"] if "second-order" in named else []
        words = [f"IoU {named[name]:.2f} {name}" for name in [*shown, best]]
        row = {name: self._pairs[name][place].as_py() for name in self._pairs.column_names}
        return Shown(row["index"], row["image"], row["class"], tuple(dict.fromkeys(words)))

    @cached_property
    def _rows(self) -> pa.Table:
        """The maps under the main protocol: pair after pair, method after method."""
        columns = ["index", "image", "class", "method", "protocol", "tp", "fp", "fn"]
        rows = self.run.read(self.keys.segmentations, "segmentations", columns=columns)
        return rows.filter(pc.equal(rows["protocol"], self.main)).combine_chunks()

    @cached_property
    def _pairs(self) -> pa.Table:
        first = pc.equal(self._rows["method"], self.methods[0])
        return self._rows.filter(first).select(["index", "image", "class"]).combine_chunks()

    @cached_property
    def _ious(self) -> NDArray[np.float64]:
        """IoU of the class [pair, method]."""
        tp, fp, fn = (self._rows[name].to_numpy() for name in ("tp", "fp", "fn"))
        found: NDArray[np.float64] = tp / np.maximum(tp + fp + fn, 1)
        return found.reshape(-1, len(self.methods))


def title_of(method: str) -> str:
    """What a method is called."""
    return METHODS[method].title


def _cell(row: Mapping[str, object]) -> Cell:
    return Cell(
        str(row["method"]),
        str(row["protocol"]),
        int(str(row["images"])),
        int(str(row["maps"])),
        dict(_estimates(row, "")),
        dict(_estimates(row, "_over")),
        dict(_estimates(row, "_control")),
    )


def _estimates(row: Mapping[str, object], suffix: str) -> Iterator[tuple[str, Estimate]]:
    for metric in METRICS:
        ends = [row[f"{metric}{suffix}{end}"] for end in ("", "_low", "_high")]
        if ends[0] is not None:
            yield metric, Estimate(*(float(str(end)) for end in ends))
