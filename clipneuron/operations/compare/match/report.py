"""The report of a matching: layers, the nearest and the loneliest neurons, with their words."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from clipneuron.operations.compare import charts
from clipneuron.operations.compare.match.matching import Matches
from clipneuron.operations.compare.reasons import reasons
from clipneuron.operations.compare.sides import Ints, Side
from clipneuron.operations.compare.words import signed_words
from clipneuron.reports import markup
from clipneuron.reports.quantities import counted
from clipneuron.version import __version__

if TYPE_CHECKING:
    from rich.table import Table

LAYER = (
    "layer A",
    "by",
    "neurons",
    "median similarity",
    "mutual",
    "most of them in",
    "share there",
)
PAIR = ("A", "words A", "B", "words B", "similarity", "runner-up", "mutual")


@dataclass(frozen=True)
class MatchReport:
    """What a matching says, for a terminal, a page and programs."""

    a: Side
    b: Side
    found: Sequence[Matches]
    gaps: Sequence[str]
    """Why a way of matching was not possible."""
    show: int = 12

    @property
    def notes(self) -> list[str]:
        """What was not matched, a sentence each."""
        alone = [
            f"by {one.by}, {counted(one.unmatched, 'neurons of B', 'are')} nobody's best match"
            for one in self.found
        ]
        return [*self.gaps, *alone]

    def tables(self) -> "list[Table]":
        """The layers, and the nearest pairs, for a terminal."""
        layers = markup.terminal(
            "Best matches, by the layers of A",
            LAYER,
            self.layers,
            right=LAYER,
            spare=("share there", "neurons"),
        )
        lists = [
            markup.terminal(title, PAIR, rows, right=PAIR[4:], spare=("runner-up", "mutual"))
            for title, rows in self.pairs.items()
        ]
        return [layers, *lists]

    @property
    def layers(self) -> list[tuple[str, ...]]:
        """A row per layer of A and way of matching."""
        return [row for one in self.found for row in _layer_rows(one)]

    @property
    def pairs(self) -> dict[str, list[tuple[str, ...]]]:
        """The nearest pairs that are each other's best match, and the neurons of A that nothing is near."""
        lists: dict[str, list[tuple[str, ...]]] = {}
        for one in self.found:
            similarity, mutual = one.table["similarity"].to_numpy(), one.table["mutual"].to_numpy()
            order = np.argsort(-similarity, kind="stable")
            nearest = order[mutual[order]][: self.show]
            lists[f"Nearest pairs, by {one.by}"] = self._rows(one, nearest)
            lists[f"Neurons of A that nothing in B is near, by {one.by}"] = self._rows(
                one, order[::-1][: self.show]
            )
        return lists

    def table(self) -> pa.Table:
        """A row per neuron of A and way of matching."""
        parts = [
            one.table.append_column("by", pa.array([one.by] * one.table.num_rows))
            for one in self.found
        ]
        return pa.concat_tables(parts)

    def as_json(self) -> dict[str, Any]:
        """The layers and lists as plain data."""
        return {
            "clipneuron": __version__,
            "a": {"run": self.a.name, "url": self.a.run.url},
            "b": {"run": self.b.name, "url": self.b.run.url},
            "reasons": [reason._asdict() for reason in reasons(self.a.run, self.b.run)],
            "notes": self.notes,
            "layers": [dict(zip(LAYER, row, strict=True)) for row in self.layers],
            "lists": {
                title: [dict(zip(PAIR, row, strict=True)) for row in rows]
                for title, rows in self.pairs.items()
            },
        }

    def files(self) -> dict[str, bytes]:
        """The report's folder: name -> content."""
        title = f"A: {self.a.name}, B: {self.b.name}"
        pictures = {f"matches-{one.by}.png": self._picture(one, title) for one in self.found}
        page = markup.page(
            "operations/compare/match/report.md.jinja",
            a=self.a.run,
            b=self.b.run,
            notes=self.notes,
            layers=(LAYER, self.layers),
            pictures=list(pictures),
            pairs=PAIR,
            lists=self.pairs,
        )
        data = json.dumps(self.as_json(), indent=1).encode()
        return {"report.md": page.encode(), "matches.json": data, **pictures}

    def _picture(self, one: Matches, title: str) -> bytes:
        return charts.matches(
            one.table["similarity"].to_numpy(), one.table["mutual"].to_numpy(), one.by, title
        )

    def _rows(self, one: Matches, rows: Ints) -> list[tuple[str, ...]]:
        chosen = one.table.take(pa.array(rows)).to_pylist()
        spoken = [
            signed_words(side, np.array([(row[f"layer_{name}"] << 32) + row[f"neuron_{name}"] for row in chosen]))
            for side, name in ((self.a, "a"), (self.b, "b"))
        ] if chosen else [[], []]  # fmt: skip
        return [
            (
                f"{row['layer_a']}:{row['neuron_a']}",
                "  ".join(mine),
                f"{row['layer_b']}:{row['neuron_b']}",
                "  ".join(theirs),
                f"{row['similarity']:.3f}",
                f"{row['second']:.3f}",
                "yes" if row["mutual"] else "no",
            )
            for row, mine, theirs in zip(chosen, *spoken, strict=True)
        ]


def _layer_rows(found: Matches) -> Iterator[tuple[str, ...]]:
    layers = found.table["layer_a"].to_numpy()
    for layer in np.unique(layers).tolist():
        own = found.table.filter(pa.array(layers == layer))
        (there, count), *_ = Counter(own["layer_b"].to_pylist()).most_common(1)
        yield (
            str(layer),
            found.by,
            f"{own.num_rows:,}",
            f"{np.median(own['similarity'].to_numpy()):.3f}",
            f"{own['mutual'].to_numpy().mean():.1%}",
            f"layer {there}",
            f"{count / own.num_rows:.1%}",
        )
