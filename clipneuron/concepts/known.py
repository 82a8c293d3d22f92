"""What is known before any picture is looked at: neurons with their thresholds and texts, the pool, attention heads."""

from dataclasses import dataclass, fields, replace
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int

from clipneuron.config.concepts import Method
from clipneuron.engine.stage import Named, Upstream
from clipneuron.lens.sparse.supports import STOPPED
from clipneuron.readers.arrow import tensor
from clipneuron.readers.explanation import words_of
from clipneuron.readers.lenses import Lenses
from clipneuron.readers.sweep import PreparedTexts, prepared_texts
from clipneuron.readers.written import SweptNeurons, swept_neurons
from clipneuron.store.store import Run

OF_NEURONS: tuple[Method, ...] = ("second-order", "second-order-signed", "other-neurons")
"""The methods by which neurons name concepts."""

NEEDS_SAMPLE: tuple[Method, ...] = ("splice", "textspan")
"""The methods that need means over swept pictures, which the sweep itself does not keep."""

THRESHOLDS = {"quantile": "quantile_98", "top": "threshold"}
"""The column of the table `directions` that each rule compares norms with."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """How concepts are looked for."""

    layers: tuple[int, ...]
    """Whose neurons name concepts, rising."""
    methods: tuple[Method, ...]
    rule: Literal["quantile", "top"] = "quantile"
    described: Literal["long", "short"] = "long"
    penalty: float = 0.2
    seed: int = 0
    """Of the control's exchange of words."""

    @property
    def identity(self) -> dict[str, object]:
        """As plain values."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


@dataclass(frozen=True, kw_only=True)
class Sources:
    """The stages that hold what is known of neurons, of the pool and of attention heads."""

    means: Upstream
    directions: Upstream
    descriptions: Upstream
    texts: Upstream
    effects: Upstream | None = None
    """First-order effects of some swept pictures."""
    heads: Upstream | None = None
    """The texts of attention heads."""

    def __getstate__(self) -> dict[str, object]:
        """The fields, with the stages by their names: they would bring their models along."""
        return {name: stage and Named(stage.name) for name, stage in vars(self).items()}

    @property
    def all(self) -> tuple[Upstream, ...]:
        """Those that there are."""
        return tuple(stage for stage in vars(self).values() if stage)


class Heads(NamedTuple):
    """The texts of attention heads, as arrays; heads of the last layers, one layer after another."""

    indices: Int[np.ndarray, "head place"]
    directions: Float[np.ndarray, "head place embed"]
    offsets: Float[np.ndarray, "head place"]
    layers: int
    """How many of the last layers they are of."""


class Known(NamedTuple):
    """What all workers share, as arrays; neurons of several layers stand one after another in `indices`."""

    neurons: SweptNeurons
    indices: Int[np.ndarray, "neuron place"]
    weights: Float[np.ndarray, "neuron place"]
    """0 in unused places."""
    pool: PreparedTexts
    """Texts of unit norm."""
    centre: Float[np.ndarray, "embed"] | None
    """The mean embedding over swept pictures."""
    heads: Heads | None


def known_of(run: Run, search: Search, sources: Sources) -> Known:
    """What the tables of a run say; raises StoreError, and ValueError for layers that they do not have."""
    neurons = swept_neurons(
        run,
        sources.means.name,
        sources.directions.name,
        search.layers,
        THRESHOLDS[search.rule],
    )
    table: Literal["neuron_words", "descriptions"] = (
        "neuron_words" if search.described == "short" else "descriptions"
    )
    words = [
        words_of(run, sources.descriptions.name, layer, len(found), table)
        for layer, found in neurons.directions.items()
    ]
    most = max(item.weights.shape[1] for item in words)
    padded = [
        [torch.nn.functional.pad(part, (0, most - part.shape[1])) for part in item]
        for item in words
    ]
    indices, weights = (torch.cat(parts).numpy() for parts in zip(*padded, strict=True))
    return Known(
        neurons,
        indices,
        weights,
        prepared_texts(run, sources.texts.name, "unit"),
        _centre(run, sources.effects) if sources.effects else None,
        _heads(run, sources.heads) if sources.heads else None,
    )


def lenses_of(lenses: Lenses, search: Search) -> Lenses:
    """The run's lenses on the layers whose neurons name concepts."""
    return replace(lenses, layers=search.layers)


def _centre(run: Run, stage: Upstream) -> Float[np.ndarray, "embed"]:
    rows = run.read(stage.name, "direct_effects", columns=["embedding"])
    if not rows.num_rows:
        raise ValueError(
            "the mean embedding needs at least one swept picture that can be used, and none could"
        )
    found: Float[np.ndarray, embed] = tensor(rows["embedding"]).mean(0).numpy()
    return found


def _heads(run: Run, stage: Upstream) -> Heads:
    rows = run.read(stage.name, "head_texts")
    layer, head = (tensor(rows[name]).long() for name in ("layer", "head"))
    place = tensor(rows["place"]).long()
    first, heads = int(layer.min()), int(head.max()) + 1
    layers = int(layer.max()) + 1 - first
    vectors = tensor(rows["direction"])
    cell = (layer - first) * heads + head
    shape = layers * heads, int(place.max()) + 1
    indices = torch.full(shape, STOPPED)
    directions, offsets = torch.zeros(*shape, vectors.shape[1]), torch.zeros(shape)
    indices[cell, place] = tensor(rows["text_index"]).long()
    directions[cell, place], offsets[cell, place] = vectors, tensor(rows["offset"])
    return Heads(indices.numpy(), directions.numpy(), offsets.numpy(), layers)
