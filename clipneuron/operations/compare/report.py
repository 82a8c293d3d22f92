"""The report of a comparison: tables for a terminal, JSON and Parquet for programs, a page with charts for people."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from clipneuron.operations.compare import charts
from clipneuron.operations.compare.accuracies import AccuracyChange
from clipneuron.operations.compare.alerts import named
from clipneuron.operations.compare.comparison import Comparison
from clipneuron.operations.compare.concepts import ConceptChanges
from clipneuron.operations.compare.reasons import Reason
from clipneuron.operations.compare.summary import NEAR, Summary, overall, summaries
from clipneuron.operations.compare.words import WordChange, noise_floor
from clipneuron.reports import markup
from clipneuron.reports.quantities import counted
from clipneuron.store import parquet
from clipneuron.tables.concepts import JUDGED
from clipneuron.version import __version__

if TYPE_CHECKING:
    from rich.table import Table

WHY = ("where", "field", "A", "B")
NEURON = (
    "layer",
    "neuron",
    "cosine",
    "top shared",
    "lost",
    "gained",
    "norm A",
    "norm B",
    "PC 1 A",
    "PC 1 B",
)
LAYER = (
    "layer",
    "neurons",
    "cosine 1 %",
    "median",
    "words changed",
    "top shared",
    "norm B/A",
    "PC 1 A",
    "PC 1 B",
)
WORD = ("word", "neurons A", "neurons B", "gained", "lost", "net", "z")
ACCURACY = ("ablation", "accuracy A", "accuracy B", "difference", "pictures A", "pictures B")
METHOD = ("method", "pictures", "shared", "first is another")
PICTURE = ("picture", "shared", "lost", "gained")
SCORED = ("correlation A", "correlation B")
CONCEPTS = f"shared: mean share of a picture's first {JUDGED} concepts that both runs have"
_LONGEST = 60
_WORDS, _ABLATIONS = 12, 8


@dataclass(frozen=True)
class CompareReport:
    """What a comparison says, for a terminal, a page and programs."""

    found: Comparison
    show: int = 12
    """Neurons that are listed."""
    near: float = NEAR
    alerts: Sequence[str] = ()

    @property
    def title(self) -> str:
        """Which runs these are."""
        return f"A: {self.found.a.name}, B: {self.found.b.name}"

    @cached_property
    def summaries(self) -> list[Summary]:
        """A row per layer, and one over all of them."""
        return [*summaries(self.found, self.near), overall(self.found, self.near)]

    def tables(self) -> "list[Table]":
        """Why the runs differ, the layers, the words, the neurons and the accuracies, for a terminal."""
        shown = [
            markup.terminal("Why they differ", WHY, self._why or [("-", "nothing in their records", "", "")]),
            markup.terminal(
                "Layers", self._layer_headings, map(self._layer, self.summaries), right=self._layer_headings,
                spare=("PC 1 A", "PC 1 B", "norm B/A", "neurons"),
                caption=f"{self._below}; PC 1: median explained variance",
            ),
            markup.terminal(
                "Words that moved one way", WORD, map(_word, self.words[:_WORDS]), right=WORD[1:],
                caption=self._standing_out,
            ),
            markup.terminal(
                "Most changed neurons", self._neuron_headings, self.neurons,
                right=[one for one in self._neuron_headings if one not in ("lost", "gained")],
                spare=("PC 1 A", "PC 1 B", "norm A", "norm B", "top shared"),
            ),
        ]  # fmt: skip
        accuracies = [_accuracy(one) for one in self.found.accuracies[:_ABLATIONS]]
        if accuracies:
            title = "Accuracies that fell most"
            shown.append(
                markup.terminal(title, ACCURACY, accuracies, right=ACCURACY[1:], spare=ACCURACY[4:])
            )
        return [*shown, *self._concepts()]

    def _concepts(self) -> "list[Table]":
        changes = self.found.concepts
        if not changes:
            return []
        rows = map(_method, changes)
        pictures = markup.terminal(
            self._changed_pictures, PICTURE, self.pictures, right=PICTURE[1:2]
        )
        return [
            markup.terminal(
                "Concepts of pictures", METHOD, rows, right=METHOD[1:], caption=CONCEPTS
            ),
            *([pictures] if self.pictures else []),
        ]

    @cached_property
    def words(self) -> list[WordChange]:
        """Every word that some neuron gained or lost."""
        return self.found.words.by_word()

    @property
    def pictures(self) -> list[tuple[str, ...]]:
        """The rows of the pictures whose concepts changed most, by the first method that both runs have."""
        changes = self.found.concepts[:1]
        return [_picture(one) for each in changes for one in each.most_changed(self.show)]

    @property
    def neurons(self) -> list[tuple[str, ...]]:
        """The rows of the most changed neurons."""
        return [self._neuron(row) for row in self.rows]

    @cached_property
    def rows(self) -> list[Mapping[str, Any]]:
        """The most changed neurons as plain data; those that did not change are none."""
        found = self.found
        chosen = [row for row in found.order[: self.show].tolist() if self._has_changed(row)]
        rows: list[Mapping[str, Any]] = found.neurons.take(pa.array(chosen, pa.int64())).to_pylist()
        return rows

    def as_json(self) -> dict[str, Any]:
        """Everything but the single neurons that changed little, as plain data; JSON has no NaN: null instead."""
        plain: dict[str, Any] = _known(
            {
                "clipneuron": __version__,
                "a": _side(self.found.a.run.url, self.found.a.name),
                "b": _side(self.found.b.run.url, self.found.b.name),
                "reasons": [reason._asdict() for reason in self.found.reasons],
                "notes": self.found.notes,
                "near": self.near,
                "layers": [summary.as_json() for summary in self.summaries[:-1]],
                "all": self.summaries[-1].as_json(),
                "words": [{**word._asdict(), "net": word.net} for word in self.words],
                "neurons": self.rows,
                "accuracies": [
                    {
                        **one._asdict(),
                        "ablation": one.ablation._asdict(),
                        "difference": one.difference,
                    }
                    for one in self.found.accuracies
                ],
                "concepts": [each.as_json(self.show) for each in self.found.concepts],
                "alerts": list(self.alerts),
            }
        )
        return plain

    def files(self) -> dict[str, bytes]:
        """The report's folder: name -> content. The same bytes for the same tables."""
        drawn = charts.drawn(self.found, self.title)
        page = markup.page(
            "operations/compare/report.md.jinja",
            a=self.found.a.run,
            b=self.found.b.run,
            alerts=self.alerts,
            notes=self.found.notes,
            why=(WHY, self._why),
            layers=(self._layer_headings, [self._layer(one) for one in self.summaries]),
            below=self._below,
            words=(WORD, [_word(one) for one in self.words[: 4 * _WORDS]]),
            standing_out=self._standing_out,
            neurons=(self._neuron_headings, self.neurons),
            concepts=(METHOD, [_method(one) for one in self.found.concepts]),
            about_concepts=CONCEPTS,
            changed_pictures=self._changed_pictures,
            changed=(PICTURE, self.pictures),
            accuracies=(ACCURACY, [_accuracy(one) for one in self.found.accuracies]),
            pictures={name: words for name, (_, words) in drawn.items()},
        )
        data = json.dumps(self.as_json(), indent=1, allow_nan=False).encode()
        pictures = {name: picture for name, (picture, _) in drawn.items()}
        tables = {
            f"concepts-{one.method}.parquet": parquet.encode(one.table())
            for one in self.found.concepts
        }
        return {"report.md": page.encode(), "comparison.json": data, **pictures, **tables}

    @property
    def _why(self) -> list[tuple[str, ...]]:
        return [_reason(one) for one in self.found.reasons]

    @property
    def _below(self) -> str:
        total = self.summaries[-1]
        count = round(total.below * total.neurons)
        return f"{counted(count, 'neurons')} of {total.neurons:,} moved: the cosine is below {self.near:g}"

    @property
    def _standing_out(self) -> str:
        floor = noise_floor(len(self.words))
        count = sum(abs(one.z) > floor for one in self.words)
        return f"{counted(count, 'words')} of {len(self.words):,} moved by more than noise: |z| above {floor:.2f}"

    @property
    def _changed_pictures(self) -> str:
        by = self.found.concepts[0].method if self.found.concepts else ""
        return f"Pictures that changed most, by {by}"

    def _has_changed(self, row: int) -> bool:
        return bool(self.found.nearness[row] < self.near or self.found.words_changed[row])

    @property
    def _layer_headings(self) -> tuple[str, ...]:
        return (*LAYER, *SCORED) if self.found.has_scores else LAYER

    @property
    def _neuron_headings(self) -> tuple[str, ...]:
        return (*NEURON, *SCORED) if self.found.has_scores else NEURON

    def _layer(self, one: Summary) -> tuple[str, ...]:
        middle = 3  # the median among the quantiles
        cells = (
            "all" if one.layer < 0 else str(one.layer),
            f"{one.neurons:,}",
            _figure(one.cosines[0]),
            _figure(one.cosines[middle]),
            _percent(one.words_changed),
            _percent(one.top_shared),
            _figure(one.norm_ratios[middle]),
            *(_percent(side[middle]) for side in one.explained),
        )
        return (*cells, *map(_figure, one.scores["correlation"])) if one.scores else cells

    def _neuron(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        cells = (
            str(row["layer"]),
            f"#{row['neuron']}",
            _cosine(row),
            _percent(row["top_shared"]),
            "  ".join(row["words_lost"]),
            "  ".join(row["words_gained"]),
            *(_figure(row[f"mean_norm_{side}"]) for side in "ab"),
            *(_percent(row[f"explained_variance_{side}"]) for side in "ab"),
        )
        scores = (
            (_figure(row[f"correlation_{side}"]) for side in "ab") if self.found.has_scores else ()
        )
        return (*cells, *scores)


def _cosine(row: Mapping[str, Any]) -> str:
    """The cosine, or in which run the direction means nothing."""
    silent = [side for side in "ab" if row[f"note_{side}"]]
    if silent:
        return f"none in {' and '.join(silent).upper()}"
    return f"{_figure(row['cosine'])}{' flipped' if row['flipped'] else ''}"


def _word(one: WordChange) -> tuple[str, ...]:
    counts = (one.neurons_a, one.neurons_b, one.gained, one.lost)
    net = f"{one.net:+,}" if one.net else "0"
    return (one.word, *(f"{count:,}" for count in counts), net, f"{one.z:+.1f}")


def _method(one: ConceptChanges) -> tuple[str, ...]:
    shares = _percent(one.mean_shared), _percent(one.first_changed)
    return one.method, f"{len(one.pictures):,}", *shares


def _picture(one: Mapping[str, Any]) -> tuple[str, ...]:
    return one["image"], _percent(one["shared"]), *("  ".join(one[how]) for how in PICTURE[2:])


def _accuracy(one: AccuracyChange) -> tuple[str, ...]:
    difference = f"{100 * one.difference:+.2f} points"
    pictures = f"{one.pictures_a:,}", f"{one.pictures_b:,}"
    return named(one.ablation), f"{one.a:.2%}", f"{one.b:.2%}", difference, *pictures


def _reason(one: Reason) -> tuple[str, ...]:
    return tuple(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..." for text in one)


def _figure(value: float | None) -> str:
    return (
        "-"
        if value is None or not isfinite(value)
        else f"{value:.3g}"
        if abs(value) >= 1
        else f"{value:.3f}"
    )


def _percent(value: float | None) -> str:
    return "-" if value is None or not isfinite(value) else f"{value:.1%}"


def _side(url: str, name: str) -> dict[str, str]:
    return {"run": name, "url": url}


def _known(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _known(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_known(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not isfinite(value) else value
