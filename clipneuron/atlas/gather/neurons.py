"""The card of a neuron, from the rows of many tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from clipneuron.atlas.cards import (
    Ablated,
    Described,
    Head,
    Heat,
    Histogram,
    Near,
    Neuron,
    NeuronCard,
    Painted,
    Push,
    Score,
    Shown,
    Source,
    Word,
)
from clipneuron.atlas.gather.overview import Overview, known
from clipneuron.atlas.gather.sources import Sources, WordPool

Rows = Sequence[Mapping[str, Any]]
HEADS = 12
"""Later heads that are shown."""
PUSHES = 6
"""Classes that are shown on either side."""

_OF_DIRECTIONS = (
    *("explained_variance", "threshold", "quantile_98", "share", "participation", "count"),
)
_OF_PURSUITS = ("atoms", "residual", "condition", "words_residual", "words_condition")
_OF_SCORES = ("correlation", "auprc", "base_rate", "f1", "iou", "known")


@dataclass(frozen=True)
class NeuronRows:
    """What the tables say of one neuron."""

    direction: Mapping[str, Any]
    """Its row of the table `directions`."""
    words: Mapping[str, Rows]
    """Of each stage with words: its rows of `neuron_words`, by place."""
    pursuits: Mapping[str, Mapping[str, Any]]
    """Of each pool's stage with words: its row of `pursuits`."""
    scores: Mapping[str, Mapping[str, Mapping[str, Any]]]
    """Of each stage with scores and each describer: its row of `scores`."""
    shown: Rows
    """Of `shown_pictures`, by place."""
    heats: Mapping[int, Mapping[str, Any]]
    """Of `heats`, by the picture's number."""
    profile: Mapping[str, Any] | None
    near: Rows
    """Of `near_neurons`, by place."""
    indirect: Rows
    """Of `indirect`, lengths in place of vectors."""
    sources: tuple[Source, ...] = ()


@dataclass(frozen=True)
class NeuronCards:
    """Makes the cards of neurons."""

    sources: Sources
    overview: Overview
    classes: tuple[str, ...]
    classifier: Float[np.ndarray, "class embed"]
    heads: int
    """Attention heads of a layer."""
    attacks: Mapping[Neuron, tuple[Painted, ...]] = field(default_factory=dict)

    def card(self, rows: NeuronRows) -> NeuronCard:
        """The card of one neuron."""
        own = rows.direction
        layer, neuron = own["layer"], own["neuron"]
        at = self.overview.row((layer, neuron))
        there = [row for row in rows.shown if self.overview.pictures.of(row["index"])]
        top = [row for row in there if row["quantile"] is None]
        others = [row for row in there if row["quantile"] is not None]
        toward, away = self._pushes(own)
        profile = rows.profile or {}
        return NeuronCard(
            layer=layer,
            neuron=neuron,
            previous=self.overview.at(at - 1) if at else None,
            next=self.overview.at(at + 1) if at + 1 < len(self.overview) else None,
            note=own.get("note") or "",
            pools=tuple(self._told(pool, rows) for pool in self.sources.pools),
            others=tuple(self._others(rows)),
            top=tuple(self._shown(row, rows) for row in top),
            quantiles=tuple((row["quantile"], self._shown(row, rows)) for row in others),
            histogram=_histogram(profile, known(own["threshold"])),
            share=known(own["share"]),
            participation=known(own["participation"]),
            explained_variance=known(own["explained_variance"]),
            scree=tuple(share for share in profile.get("scree", ()) if share > 0),
            heads=self._heads(layer, profile.get("heads", ())),
            nearest=tuple(map(self._near, rows.near)),
            toward=toward,
            away=away,
            ablated=_ablated(rows.indirect),
            attacks=self.attacks.get((layer, neuron), ()),
            numbers=tuple(self._numbers(rows)),
            sources=rows.sources,
            change=self.overview.change(at),
        )

    def _told(self, pool: WordPool, rows: NeuronRows) -> Described:
        """The words of a pool with their score, or why there are none."""
        scores = rows.scores.get(pool.scores, {})
        own = rows.words.get(pool.descriptions, ())
        note = (rows.pursuits.get(pool.descriptions) or {}).get("words_note") or ""
        score = _score(scores.get(pool.describer), scores.get(pool.control))
        return Described(pool.name, pool.describer, _words(own), score, note if not own else "")

    def _others(self, rows: NeuronRows) -> "list[Described]":
        """The words of other describers."""
        found = []
        for pool in self.sources.pools:
            scores = rows.scores.get(pool.scores, {})
            for describer, stage in pool.others.items():
                words = _words(rows.words.get(stage, ()))
                score = _score(scores.get(describer), None)
                if words:
                    found.append(Described(pool.name, describer, words, score))
        return found

    def _shown(self, row: Mapping[str, Any], rows: NeuronRows) -> Shown:
        picture = self.overview.pictures.of(row["index"])
        assert picture is not None, "only pictures of the site are asked for"
        heat = rows.heats.get(row["index"])
        effect = heat["effect"] if heat else _projection(rows.direction, row["index"])
        return Shown(
            picture=picture,
            effect=row["norm"] if effect is None else effect,
            heat=_heat(heat) if heat else None,
            norm=row["norm"],
        )

    def _numbers(self, rows: NeuronRows) -> "list[tuple[str, float | int | str]]":
        """Raw numbers under the names of their columns, with the pool that they are of."""
        found = _finite("", rows.direction, _OF_DIRECTIONS)
        for pool in self.sources.pools:
            pursuit = rows.pursuits.get(pool.descriptions, {})
            score = rows.scores.get(pool.scores, {}).get(pool.describer, {})
            found += _finite(f"{pool.name}: ", pursuit, _OF_PURSUITS)
            found += _finite(f"{pool.name}: ", score, _OF_SCORES)
        return found

    def _heads(self, layer: int, shares: Sequence[float]) -> tuple[Head, ...]:
        """The later heads that carry most, by falling absolute share."""
        order = np.argsort(-np.abs(np.asarray(shares, np.float64)), kind="stable")[:HEADS]
        return tuple(
            Head(layer + 1 + path // self.heads, path % self.heads, float(shares[path]))
            for path in order.tolist()
            if shares[path]
        )

    def _near(self, row: Mapping[str, Any]) -> Near:
        neuron = row["near_layer"], row["near_neuron"]
        at = self.overview.row(neuron)
        return Near(neuron, row["cosine"], self.overview.spoken(at), self.overview.picture(at))

    def _pushes(self, own: Mapping[str, Any]) -> tuple[tuple[Push, ...], tuple[Push, ...]]:
        """The classes that the direction points to and away from, the furthest first."""
        if not self.classes or own.get("note"):
            return (), ()
        values = self.classifier @ np.asarray(own["direction"], np.float32)
        order = np.argsort(-values, kind="stable")
        most = [int(place) for place in order[:PUSHES] if values[place] > 0]
        least = [int(place) for place in order[::-1][:PUSHES] if values[place] < 0]
        toward, away = (
            tuple(Push(self.classes[place], float(values[place])) for place in places)
            for places in (most, least)
        )
        return toward, away


def _words(rows: Rows) -> tuple[Word, ...]:
    return tuple(Word(row["text"], row["weight"]) for row in rows)


def _score(own: Mapping[str, Any] | None, control: Mapping[str, Any] | None) -> Score | None:
    """The correlation with its interval; None where there is none."""
    if own is None or known(own["correlation"]) is None:
        return None
    beside = known(control["correlation"]) if control else None
    return Score(
        own["correlation"],
        own["correlation_low"],
        own["correlation_high"],
        control=beside,
        by=own["by"],
    )


def _projection(own: Mapping[str, Any], index: int) -> float | None:
    """What the table `directions` says of a top picture."""
    pairs = zip(own["top_images"], own["top_projections"], strict=True)
    return next((value for image, value in pairs if image == index), None)


def _heat(row: Mapping[str, Any]) -> Heat:
    return Heat(row["rows"], len(row["heat"]) // row["rows"], row["heat"], row["scale"])


def _histogram(profile: Mapping[str, Any], threshold: float | None) -> Histogram | None:
    if not profile.get("counts"):
        return None
    return Histogram(tuple(profile["edges"]), tuple(profile["counts"]), threshold)


def _ablated(rows: Rows) -> Ablated | None:
    if not rows:
        return None
    indirect, second_order = (
        float(np.mean([row[name] for row in rows])) for name in ("indirect", "second_order")
    )
    return Ablated(indirect, second_order, len(rows))


def _finite(
    of: str, row: Mapping[str, Any], names: tuple[str, ...]
) -> "list[tuple[str, float | int | str]]":
    """What is a number of some columns."""
    present = ((name, row.get(name)) for name in names)
    return [
        (of + name, value) for name, value in present if value is not None and np.isfinite(value)
    ]
