"""The report on the truth of words: neurons with scores and controls, a leaderboard, and the whole distribution."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from clipneuron.data.collections import Pictures
from clipneuron.demo import CAVEAT
from clipneuron.explanation import cosy
from clipneuron.explanation.cosy import CosyRow
from clipneuron.explanation.figures import METRICS, OUTPUT, Card, Figures, Row
from clipneuron.explanation.pipeline import BOUND, CONTROL, PURSUIT, ExplanationLine
from clipneuron.readers.sweep import Planned
from clipneuron.reports import markup
from clipneuron.reports.charts import BLUE, GREEN, ORANGE, chart
from clipneuron.reports.drawing import png
from clipneuron.reports.estimates import Estimate
from clipneuron.reports.quantities import counted
from clipneuron.store import reports
from clipneuron.store.store import Run
from clipneuron.sweep.neurons import neuron_cards, selective_neurons
from clipneuron.sweep.results import SweepResults
from clipneuron.sweep.sheet import neurons_sheet
from clipneuron.version import __version__

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

FIRST = 5
"""Neurons on the first screen."""
LISTED = 12
"""Neurons of each list of the page."""

CARD = ("layer", "neuron", "words (signed)", "correlation", "AUPRC / base", CONTROL, BOUND)
MEANS = ("correlation", "over control", "AUPRC / base", "F1", "IoU", "known", "AUC*")
NOTE = "*AUC hardly notices wrong words and stands for comparability only; +- are 95 % intervals"


@dataclass(frozen=True)
class ExplanationReport:
    """What the scores of a finished run say, for a terminal, a page and programs."""

    title: str
    setting: Sequence[tuple[str, str]]
    figures: Figures
    best: Sequence[Card]
    selective: Sequence[Card]
    random: Sequence[Card]
    sheet: bytes
    """The best explained neurons with the pictures that they act on most, as PNG."""
    caveat: str = ""
    """What is to be kept in mind of the model."""
    painter: str = ""
    """Who painted words, how many neurons' and how many pictures of each."""

    def tables(self) -> "list[Table]":
        """Five neurons, the leaderboard, and a row per layer and describer, for a terminal."""
        found = self.figures
        spare = (BOUND, "AUPRC / base", CONTROL)
        title = f"The {len(self.best[:FIRST])} best explained neurons, one for each leading word"
        right = [heading for heading in CARD if heading != "words (signed)"]
        caption = (
            f"best by the lower end of AUPRC over its base rate; witness: {found.by};\n{CONTROL}, {BOUND}: correlation "
            "of another neuron's words, and of the best single word, chosen on other pictures"
        )
        first = markup.terminal(
            title,
            CARD,
            map(_card_cells, self.best[:FIRST]),
            right=right,
            caption=caption,
            spare=spare,
        )
        return [first, self._leaderboard(), self._layers(), *self._cosy()]

    def _leaderboard(self) -> "Table":
        headings = ("describer", *self._headings)
        rows = [(row.describer, *self._cells(row)) for row in self.figures.leaderboard]
        title = f"Describers, means over the neurons of all layers; witness: {self.figures.by}"
        spare = ("known", "IoU", "F1", "AUC*")
        right = headings[1:]
        return markup.terminal(title, headings, rows, right=right, caption=NOTE, spare=spare)

    def _layers(self) -> "Table":
        headings = ("layer", "describer", *self._headings)
        rows = [(str(row.layer), row.describer, *self._cells(row)) for row in self.figures.layers]
        each = len(self.figures.describers)
        spare = ("known", "IoU", "F1", "AUC*")
        title = f"Layers, means over neurons; witness: {self.figures.by}"
        breaks = range(each, len(rows), each)
        right = [heading for heading in headings if heading != "describer"]
        return markup.terminal(title, headings, rows, right=right, sections=breaks, spare=spare)

    def _cosy(self) -> "list[Table]":
        rows = [row.cells for row in self.figures.cosy]
        title = f"CoSy: {self.painter}"
        right = cosy.HEADINGS[1:]
        shown = markup.terminal(title, cosy.HEADINGS, rows, right=right, caption=cosy.NOTE)
        return [shown] if rows else []

    @property
    def _headings(self) -> tuple[str, ...]:
        return (*MEANS, "logits' ranks") if self.figures.has_outputs else MEANS

    def _cells(self, row: Row) -> tuple[str, ...]:
        mean = row.means
        cells = (
            f"{mean['correlation']:.3f}",
            _difference(row.over_control.get("correlation")),
            f"{mean['auprc']:.3f} / {mean['base_rate']:.3f}",
            f"{mean['f1']:.3f}",
            f"{mean['iou']:.3f}",
            f"{mean['known']:.0%}",
            f"{mean['auc']:.3f}",
        )
        return (*cells, f"{mean[OUTPUT]:.3f}") if self.figures.has_outputs else cells

    def markdown(self) -> str:
        """The page `report.md`; it shows the picture that `files` puts beside it."""
        return markup.page(
            "explanation/report.md.jinja",
            title=self.title,
            setting=self.setting,
            by=self.figures.by,
            caveat=self.caveat,
            note=NOTE,
            describers=("describer", *self._headings),
            leaderboard=[(row.describer, *self._cells(row)) for row in self.figures.leaderboard],
            layers=[
                (str(row.layer), row.describer, *self._cells(row)) for row in self.figures.layers
            ],
            differences=[_differences(row) for row in self.figures.layers if row.over_control],
            metrics=(
                "layer",
                "describer",
                *METRICS,
                *([OUTPUT] if self.figures.has_outputs else []),
            ),
            card=CARD,
            cosy=[row.cells for row in self.figures.cosy],
            cosy_headings=cosy.HEADINGS,
            cosy_note=cosy.NOTE,
            painter=self.painter,
            lists={words: list(map(_card_cells, cards)) for words, cards in self._lists.items()},
        )

    @property
    def _lists(self) -> Mapping[str, Sequence[Card]]:
        return {
            "Best explained, by the lower end of AUPRC over its base rate, one for each leading word": self.best,
            "Most selective: the least effective share of the swept pictures, whatever the words": self.selective,
            "A random sample": self.random,
        }

    def as_json(self) -> dict[str, Any]:
        """Everything as plain data; what is unknown is None, since JSON has no NaN."""
        found = {
            "clipneuron": __version__,
            "setting": dict(self.setting),
            "witness": self.figures.by,
            "leaderboard": [_row_json(row) for row in self.figures.leaderboard],
            "layers": [_row_json(row) for row in self.figures.layers],
            "cosy": [_cosy_json(row) for row in self.figures.cosy],
            **{
                name: [asdict(card) for card in getattr(self, name)]
                for name in ("best", "selective", "random")
            },
        }
        plain: dict[str, Any] = _known(found)
        return plain

    def files(self) -> dict[str, bytes]:
        """The report's folder: name -> content. The same bytes for the same tables."""
        data = json.dumps(self.as_json(), indent=1, allow_nan=False).encode()
        found = {
            "report.md": self.markdown().encode(),
            "scores.json": data,
            "distribution.png": self.picture,
            "best-neurons.png": self.sheet,
        }
        return {name: content for name, content in found.items() if content}

    @cached_property
    def picture(self) -> bytes:
        """How correlations are spread over all neurons, layer by layer."""

        def draw(figure: "Figure") -> None:
            layers = self.figures.keys.layers
            shown = ((PURSUIT, BLUE), (CONTROL, ORANGE), (BOUND, GREEN))
            edges = np.linspace(-1, 1, 81)
            axes = np.atleast_1d(figure.subplots(len(layers), 1, sharex=True))
            for place, layer in zip(axes, layers, strict=True):
                for describer, colour in shown:
                    values = self.figures.values(layer, describer, "correlation")
                    known = values[np.isfinite(values)]
                    place.hist(
                        known, edges, histtype="step", color=colour, label=describer, log=True
                    )
                place.set_ylabel(f"layer {layer}")
            axes[0].legend(frameon=False, loc="upper left")
            axes[0].set_title("Neurons by the correlation of what they write and what words say")
            axes[-1].set_xlabel("correlation on held-out pictures")

        height = 2.0 + 1.5 * len(self.figures.keys.layers)
        note = f"{self.title}; witness: {self.figures.by}"
        return chart(draw, f"{note}; {self.caveat}" if self.caveat else note, height)


def _card_cells(card: Card) -> tuple[str, ...]:
    half = (card.high - card.low) / 2
    return (
        str(card.layer),
        f"#{card.neuron}",
        card.signed_words,
        f"{card.correlation:.2f} +- {half:.2f}",
        f"{card.auprc:.2f} / {card.base_rate:.3f}",
        f"{card.control:.2f}",
        f"{card.bound:.2f}",
    )


def _difference(figure: Estimate | None) -> str:
    if figure is None:
        return "-"
    return f"{figure.value:+.3f} +- {(figure.high - figure.low) / 2:.3f}"


def _differences(row: Row) -> tuple[str, ...]:
    shown = (row.over_control.get(metric) for metric in (*METRICS, OUTPUT))
    cells = tuple(
        f"{one.value:+.3f} ({one.low:+.3f} to {one.high:+.3f})" for one in shown if one is not None
    )
    return str(row.layer), row.describer, *cells


def _row_json(row: Row) -> dict[str, Any]:
    over = {metric: figure._asdict() for metric, figure in row.over_control.items()}
    return {**asdict(row), "over_control": over}


def _cosy_json(row: CosyRow) -> dict[str, Any]:
    over = row.over_control
    return {**asdict(row), "over_control": over._asdict() if over else None}


def _known(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _known(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_known(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def explanation_report(line: ExplanationLine, run: Run, show: int) -> ExplanationReport:
    """The report of a finished run, with `show` selective neurons per layer; raises StoreError for damaged tables."""
    planned = Planned.of(run)
    stages = line.stages(planned)
    keys, swept = stages.results, stages.swept.results
    figures = Figures(run, keys)
    selective = [
        (card.layer, card.neuron)
        for layer in keys.layers
        for card in selective_neurons(run, swept, layer, show)
    ]
    best = figures.best_explained(LISTED)
    sweep, recipe = line.sweep, line.sweep.recipe
    setting = (
        ("model", sweep.clip.name),
        ("swept", f"{counted(len(sweep.collection), 'pictures')}: {recipe.images}"),
        (
            "held out",
            f"{counted(len(line.collection), 'pictures')}: {line.asked.images}, a half to fit, a half to score; "
            f"left out since they were swept: {line.held_out.swept:,}",
        ),
        ("witness", figures.by),
        ("texts", f"{len(sweep.pool):,} of {sweep.pool.name}"),
        ("F1 and IoU at", f"{line.asked.share:.1%} of the pictures"),
        ("classes", f"{len(line.classes):,} whose logits are watched"),
    )
    return ExplanationReport(
        title=f"The truth of words: {sweep.clip.name}",
        setting=setting,
        figures=figures,
        best=figures.cards(best),
        selective=figures.cards(selective),
        random=figures.cards(figures.at_random(LISTED, recipe.seed)),
        sheet=_sheet(line, run, swept, planned.pictures, best),
        caveat=CAVEAT if recipe.model == "demo" else "",
        painter=_painting(line),
    )


def _painting(line: ExplanationLine) -> str:
    asked = line.asked
    if line.painter is None:
        return ""
    drawn = min(asked.painted_neurons, line.sweep.clip.neurons)
    return f"{drawn} neurons of each layer, {asked.painted_each} pictures of every word by {line.painter.name}"


def _sheet(
    line: ExplanationLine,
    run: Run,
    swept: SweepResults,
    pictures: Pictures,
    best: Sequence[tuple[int, int]],
) -> bytes:
    cards = [card for layer, neuron in best for card in neuron_cards(run, swept, layer, [neuron])]
    title = f"{line.sweep.clip.name}: the best explained neurons and their top pictures"
    read = line.sweep.collection.read
    return png(neurons_sheet(cards, lambda index: read(pictures[index]), title)) if cards else b""


def write_report(run: Run, report: ExplanationReport) -> Mapping[str, str]:
    """Put the report's files into the run; where they are, by name."""
    return reports.put(run, report.figures.keys, report.files())
