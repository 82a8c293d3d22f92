"""The report on maps as segmentations: the comparison, the matrix of protocols, Table 4 beside it, and pictures."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from clipneuron.demo import CAVEAT
from clipneuron.lens.attribution.methods import METHODS as ATTRIBUTION
from clipneuron.readers.sweep import Planned
from clipneuron.reports import markup
from clipneuron.reports.estimates import Estimate
from clipneuron.reports.quantities import counted
from clipneuron.segmentation.figures import Cell, Figures, title_of
from clipneuron.segmentation.paper import SETTING, TABLE_4
from clipneuron.segmentation.pipeline import SegmentationLine
from clipneuron.segmentation.sheets import sheets
from clipneuron.store import reports
from clipneuron.store.store import Run
from clipneuron.tables.segmentation import METRICS
from clipneuron.version import __version__

if TYPE_CHECKING:
    from rich.table import Table

COMPARED = ("pixel accuracy", "mIoU", "mAP", "F1")
OVER, CONTROL, PAPER = "mIoU over second order", "mIoU over a wrong text", "Table 4 *"
NOTE = (
    "+- are half widths of 95 % bootstrap intervals over pictures; differences are paired. A wrong text is that of "
    "a class that the picture does not show: what a method keeps with it is objectness, not the class"
)
PAPERS = f"* the paper's pixel accuracy / mIoU / mAP of {SETTING}: another model, other pictures"


@dataclass(frozen=True)
class SegmentationReport:
    """What the matrix of a finished run says, for a terminal, a page and programs."""

    title: str
    setting: Sequence[tuple[str, str]]
    figures: Figures
    sheets: Mapping[str, bytes]
    """Pictures by file name, as PNG."""
    caveat: str = ""
    """What is to be kept in mind of the model."""

    def tables(self) -> "list[Table]":
        """The comparison under the first protocol, and mIoU under every protocol, for a terminal."""
        found = self.figures
        headings = ("method", *self._compared)
        title = f"Maps as segmentations under {found.main}; {self._size}"
        caption = "\n".join(filter(None, [self.caveat, PAPERS]))
        spare = (PAPER, "F1", "pixel accuracy")
        rows = map(self._cells, found.under(found.main))
        compared = markup.terminal(
            title, headings, rows, right=headings[1:], caption=caption, spare=spare
        )
        columns = tuple(name.replace("/", " ") for name in found.protocols)
        rows = map(self._across, found.under(found.main))
        matrix = markup.terminal(
            f"mIoU under every protocol; {self._size}", ("method", *columns), rows, right=columns
        )
        return [compared, matrix]

    @property
    def _size(self) -> str:
        cell = self.figures.cell(self.figures.methods[0], self.figures.main)
        return f"{counted(cell.maps, 'masks')} of {counted(cell.images, 'pictures')}"

    @property
    def _compared(self) -> tuple[str, ...]:
        cells = self.figures.under(self.figures.main)
        over = (OVER,) if any(cell.over for cell in cells) else ()
        control = (CONTROL,) if any(cell.control for cell in cells) else ()
        return (*COMPARED, *over, *control, PAPER)

    def _cells(self, cell: Cell) -> tuple[str, ...]:
        shown = {
            OVER: _difference(cell.over.get("miou")),
            CONTROL: _difference(cell.control.get("miou")),
            PAPER: _reported(cell.method),
            **{
                name: _share(cell.figures[metric])
                for name, metric in zip(COMPARED, METRICS, strict=True)
            },
        }
        return (cell.method, *(shown[name] for name in self._compared))

    def _across(self, cell: Cell) -> tuple[str, ...]:
        found = (self.figures.cell(cell.method, name) for name in self.figures.protocols)
        return (cell.method, *(_share(each.figures["miou"]) for each in found))

    def markdown(self) -> str:
        """The page `report.md`; it shows the pictures that `files` puts beside it."""
        found = self.figures
        return markup.page(
            "segmentation/report.md.jinja",
            title=self.title,
            setting=self.setting,
            caveat=self.caveat,
            note=NOTE,
            main=found.main,
            size=self._size,
            verdict=verdict(found),
            headings=("method", *(name for name in self._compared if name != PAPER)),
            compared=[self._cells(cell)[:-1] for cell in found.under(found.main)],
            papers=SETTING,
            table4=[
                (title_of(method), *(f"{value:.1f}" for value in reported), self._ours(method))
                for method, reported in TABLE_4.items()
            ],
            protocols=found.protocols,
            matrices={
                name: [self._metric(cell.method, metric) for cell in found.under(found.main)]
                for name, metric in zip(COMPARED, METRICS, strict=True)
            },
            differences=[
                (cell.method, *(_interval(cell.over.get(metric)) for metric in METRICS))
                for cell in found.under(found.main)
                if cell.over
            ],
            controls=[
                (cell.method, *(_interval(cell.control.get(metric)) for metric in METRICS))
                for cell in found.under(found.main)
                if cell.control
            ],
            metrics=("method", *COMPARED),
            sources=[(name, title_of(name), ATTRIBUTION[name].source) for name in found.methods],
            sheets=list(self.sheets),
        )

    def _ours(self, method: str) -> str:
        """What stands in this run beside a row of Table 4."""
        if method not in self.figures.methods:
            return "not computed"
        own = self.figures.cell(method, self.figures.main).figures
        return " / ".join(
            f"{100 * own[metric].value:.1f}" for metric in ("pixel_accuracy", "miou", "map")
        )

    def _metric(self, method: str, metric: str) -> tuple[str, ...]:
        found = (self.figures.cell(method, name) for name in self.figures.protocols)
        return (method, *(_share(each.figures[metric]) for each in found))

    def as_json(self) -> dict[str, Any]:
        """Everything as plain data."""
        found = self.figures
        cells = [found.cell(method, name) for name in found.protocols for method in found.methods]
        return {
            "clipneuron": __version__,
            "setting": dict(self.setting),
            "caveat": self.caveat,
            "matrix": [_plain(cell) for cell in cells],
            "table 4": {
                "of": SETTING,
                "figures": {method: row._asdict() for method, row in TABLE_4.items()},
            },
        }

    def files(self) -> dict[str, bytes]:
        """The report's folder: name -> content. The same bytes for the same tables."""
        data = json.dumps(self.as_json(), indent=1, allow_nan=False).encode()
        return {"report.md": self.markdown().encode(), "matrix.json": data, **self.sheets}


def verdict(found: Figures) -> str:
    """Whether the second order is ahead under the first protocol, in a sentence; "" where it was not asked for."""
    cells = [cell for cell in found.under(found.main) if "miou" in cell.over]
    if not cells:
        return ""
    others = [cell for cell in cells if ATTRIBUTION[cell.method].choice is None]
    ahead = [cell.method for cell in others if cell.over["miou"].low > 0]
    behind = [cell.method for cell in others if cell.over["miou"].high < 0]
    level = [cell.method for cell in others if cell.method not in (*ahead, *behind)]
    parts = [
        f"{words}: {', '.join(names)}"
        for words, names in (
            ("clearly ahead of the second order by mIoU", ahead),
            ("within its interval", level),
            ("clearly behind", behind),
        )
        if names
    ]
    return "; ".join(parts)


def _share(figure: Estimate) -> str:
    return f"{100 * figure.value:.1f} +- {50 * (figure.high - figure.low):.1f}"


def _difference(figure: Estimate | None) -> str:
    if figure is None:
        return "-"
    return f"{100 * figure.value:+.1f} +- {50 * (figure.high - figure.low):.1f}"


def _interval(figure: Estimate | None) -> str:
    if figure is None:
        return "-"
    return f"{100 * figure.value:+.1f} ({100 * figure.low:+.1f} to {100 * figure.high:+.1f})"


def _reported(method: str) -> str:
    return " / ".join(f"{value:.1f}" for value in TABLE_4[method]) if method in TABLE_4 else "-"


def _plain(cell: Cell) -> dict[str, Any]:
    named = {
        part: {metric: figure._asdict() for metric, figure in getattr(cell, part).items()}
        for part in ("figures", "over", "control")
    }
    return {**asdict(cell), **named}


def segmentation_report(
    line: SegmentationLine, run: Run, caveat: str = "", **more: str
) -> SegmentationReport:
    """The report of a finished run, with a caveat of its model and more rows of the setting; raises StoreError."""
    stages = line.stages(Planned.of(run))
    keys = stages.results
    figures = Figures(run, keys)
    sweep, recipe, asked = line.sweep, line.sweep.recipe, line.asked
    layers = ", ".join(map(str, line.layers))
    setting = (
        ("model", sweep.clip.name),
        ("swept, for directions", f"{counted(len(sweep.collection), 'pictures')}: {recipe.images}"),
        (
            "pictures with masks",
            f"{counted(len(line.collection), 'pictures')}: {asked.images or asked.masks}",
        ),
        ("masks", line.evaluated.masks.kind),
        ("classes with a text", f"{len(line.evaluated.classes):,}: {asked.classes}"),
        ("neurons of a class", f"{asked.neurons_per_class} of layers {layers}"),
        ("methods are compared under", figures.main),
        *more.items(),
    )
    return SegmentationReport(
        title=f"Maps as segmentations: {sweep.clip.name}",
        setting=setting,
        figures=figures,
        sheets=sheets(line, run, figures),
        caveat=CAVEAT if recipe.model == "demo" else caveat,
    )


def write_report(run: Run, report: SegmentationReport) -> Mapping[str, str]:
    """Put the report's files into the run; where they are, by name."""
    return reports.put(run, report.figures.keys, report.files())
