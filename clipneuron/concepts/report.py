"""The report on concepts: how true they are by each method, which are found most, and some pictures with theirs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from clipneuron.concepts.figures import Common, Judged, MethodRow, common, judged
from clipneuron.concepts.finder import Finder
from clipneuron.concepts.known import known_of
from clipneuron.concepts.pipeline import ConceptsLine
from clipneuron.concepts.results import ConceptResults
from clipneuron.concepts.sheet import concepts_sheet
from clipneuron.concepts.single import Seen, seen
from clipneuron.demo import CAVEAT
from clipneuron.models.clip.preprocessing.preprocess import PictureError
from clipneuron.readers.sweep import Planned
from clipneuron.reports import markup
from clipneuron.reports.drawing import png
from clipneuron.reports.estimates import Estimate
from clipneuron.reports.quantities import counted
from clipneuron.store import reports
from clipneuron.store.errors import ReadError
from clipneuron.store.store import Run
from clipneuron.version import __version__

if TYPE_CHECKING:
    from rich.table import Table

SHOWN, COMMON = 6, 12
"""Pictures on the sheet, and concepts in the list."""

NOTE = (
    "A lower mean rank is better, and ties share theirs; a place among the first 5 without a score above 0 is a miss; "
    "+- are 95 % bootstrap intervals over pictures, and differences are paired"
)


@dataclass(frozen=True)
class ConceptsReport:
    """What the concepts of a finished run say, for a terminal, a page and programs."""

    title: str
    setting: Sequence[tuple[str, str]]
    judged: Judged | None
    method: str
    """The first one, which the list and the sheet are about."""
    common: Sequence[Common]
    sheet: bytes
    """Some pictures, as PNG."""
    results: ConceptResults
    caveat: str = ""
    """What is to be kept in mind of the model."""

    def tables(self) -> "list[Table]":
        """How true the methods are, and the most common concepts, for a terminal."""
        found = [markup.terminal(self._list_title, LIST, self._listed, right=LIST[1:2])]
        if self.judged:
            title = f"Concepts against what is true of the pictures; witness: {self.judged.by}"
            right = self._headings[1:]
            table = markup.terminal(
                title, self._headings, self._rows, right=right, caption=self.verdict
            )
            found.insert(0, table)
        return found

    @property
    def verdict(self) -> str:
        """Who is ahead of the first method, in a sentence; "" where nobody says what is true."""
        if not self.judged:
            return ""
        rows = [row for row in self.judged.rows if row.over]
        ahead = [row.method for row in rows if row.over["precision"].low > 0]
        behind = [row.method for row in rows if row.over["precision"].high < 0]
        said = [f"{', '.join(ahead)} ahead of {self.method}"] if ahead else []
        said += [f"{', '.join(behind)} behind it"] if behind else []
        return f"by the precision of the first 5: {'; '.join(said) or 'no clear differences'}"

    @property
    def _headings(self) -> tuple[str, ...]:
        return ("method", "precision of 5", "mean rank", *(f"{m} over {self.method}" for m in OVER))

    @property
    def _rows(self) -> list[tuple[str, ...]]:
        assert self.judged
        limits = self.judged.limits
        return [
            *map(_cells, self.judged.rows),
            ("random ranking", f"{limits.chance:.3f}", f"{limits.chance_rank:.1f}", "-", "-"),
            ("perfect ranking", f"{limits.bound:.3f}", f"{limits.best_rank:.1f}", "-", "-"),
        ]

    @property
    def _list_title(self) -> str:
        return f"Concepts found in most pictures, by {self.method}"

    @property
    def _listed(self) -> list[tuple[str, ...]]:
        return [(one.concept, f"{one.pictures:,}", ", ".join(one.strongest)) for one in self.common]

    def markdown(self) -> str:
        """The page `report.md`; it shows the picture that `files` puts beside it."""
        return markup.page(
            "concepts/report.md.jinja",
            title=self.title,
            caveat=self.caveat,
            setting=self.setting,
            judged=self.judged,
            verdict=self.verdict,
            note=NOTE,
            headings=self._headings,
            rows=self._rows if self.judged else [],
            method=self.method,
            list_headings=LIST,
            listed=self._listed,
            has_sheet=bool(self.sheet),
        )

    def as_json(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {
            "clipneuron": __version__,
            "setting": dict(self.setting),
            "scores": _plain(self.judged) if self.judged else None,
            "common": [asdict(one) for one in self.common],
        }

    def files(self) -> dict[str, bytes]:
        """The report's folder: name -> content. The same bytes for the same tables."""
        data = json.dumps(self.as_json(), indent=1, allow_nan=False).encode()
        found = {
            "report.md": self.markdown().encode(),
            "concepts.json": data,
            "concepts.png": self.sheet,
        }
        return {name: content for name, content in found.items() if content}


LIST = ("concept", "pictures", "strongest in")
OVER = ("precision", "mean rank")


def _cells(row: MethodRow) -> tuple[str, ...]:
    over = (row.over.get(metric) for metric in ("precision", "mean_rank"))
    return (
        row.method,
        f"{row.precision.value:.3f} +- {_half(row.precision):.3f}",
        f"{row.mean_rank.value:.1f} +- {_half(row.mean_rank):.1f}",
        *(
            "-" if one is None else f"{one.value:+.{digits}f} +- {_half(one):.{digits}f}"
            for one, digits in zip(over, (3, 1), strict=True)
        ),
    )


def _half(figure: Estimate) -> float:
    return (figure.high - figure.low) / 2


def _plain(found: Judged) -> dict[str, Any]:
    def row(item: MethodRow) -> dict[str, Any]:
        own = {name: getattr(item, name)._asdict() for name in ("precision", "mean_rank")}
        over = {metric: figure._asdict() for metric, figure in item.over.items()}
        return {"method": item.method, **own, "over": over}

    return {"by": found.by, "limits": asdict(found.limits), "methods": [*map(row, found.rows)]}


def concepts_report(line: ConceptsLine, run: Run) -> ConceptsReport:
    """The report of a finished run; raises StoreError for damaged tables."""
    results, sweep, asked = line.results(run), line.sweep, line.asked
    method = asked.methods[0]
    scores = judged(run, results.scores, len(sweep.pool)) if results.scores else None
    setting = (
        ("model", sweep.clip.name),
        ("swept", f"{counted(len(sweep.collection), 'pictures')}: {sweep.recipe.images}"),
        (
            "concepts in",
            f"{counted(len(line.looked.pictures), 'pictures')}: {line.looked.images}; swept among them: "
            f"{line.looked.swept:,}",
        ),
        ("neurons", f"of layers {', '.join(map(str, line.layers))}"),
        ("activated", RULES[asked.rule]),
        ("weights", DESCRIBED[asked.described]),
        ("texts", f"{len(sweep.pool):,} of {sweep.pool.name}"),
        *_truth(scores),
    )
    return ConceptsReport(
        title=f"Concepts in pictures: {sweep.clip.name}",
        setting=setting,
        judged=scores,
        method=method,
        common=common(run, results, method, COMMON),
        sheet=_sheet(line, run),
        results=results,
        caveat=CAVEAT if sweep.recipe.model == "demo" else "",
    )


RULES = {
    "quantile": "|phi - b| above the neuron's 98 % quantile over the swept pictures",
    "top": "|phi - b| above the least of the neuron's top effects",
}
DESCRIBED = {"long": "of the long descriptions", "short": "of the neurons' few words"}


def _truth(scores: Judged | None) -> list[tuple[str, str]]:
    if scores is None:
        return [("witness", "none, hence no scores")]
    limits = scores.limits
    untold = f"; of {limits.untold:,} others nothing is" if limits.untold else ""
    return [
        (
            "witness",
            f"{scores.by}: {limits.present:.1f} texts are true of a picture, on average over "
            f"{counted(limits.pictures, 'pictures')}{untold}",
        )
    ]


def _sheet(line: ConceptsLine, run: Run) -> bytes:
    """Pictures that are spread evenly over the collection, not chosen by what they show."""
    sweep, asked = line.sweep, line.asked
    sources = line.stages(Planned.of(run)).concepts.sources
    finder = Finder(sweep.loader(), sweep.lenses, line.search, known_of(run, line.search, sources))
    look = partial(seen, finder, sweep.preprocess, count=asked.count, strongest=asked.strongest)
    pictures, found = line.looked.pictures, list[Seen]()
    for place in np.linspace(0, len(pictures) - 1, min(SHOWN, len(pictures)), dtype=int).tolist():
        picture = pictures.pictures[place]
        try:
            found.append(look(pictures.read(picture), picture.image))
        except (PictureError, ReadError):
            continue  # the table says why
    note = f"; {CAVEAT}" if sweep.recipe.model == "demo" else ""
    return png(concepts_sheet(found, f"{sweep.clip.name}{note}")) if found else b""


def write_report(run: Run, report: ConceptsReport) -> Mapping[str, str]:
    """Put the report's files into the run; where they are, by name."""
    return reports.put(run, report.results, report.files())
