"""Single pictures: their concepts with the neurons and patches behind them, by a model that is loaded once for many."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8

from clipneuron.concepts.finder import Finder, Found
from clipneuron.concepts.listed import listed
from clipneuron.config.concepts import Method
from clipneuron.lens.words.concepts import behind, best, heats
from clipneuron.models.clip.preprocessing.preprocess import Preprocess
from clipneuron.reports.markup import terminal

if TYPE_CHECKING:
    from rich.table import Table


class Source(NamedTuple):
    """A neuron behind a concept."""

    layer: int
    neuron: int
    given: float


@dataclass(frozen=True)
class Concept:
    """One concept of a picture."""

    text: str
    score: float
    sources: tuple[Source, ...] = ()
    """The neurons that give most to it."""


@dataclass(frozen=True)
class Seen:
    """A picture and what each method says of it."""

    name: str
    pixels: UInt8[np.ndarray, "3 height width"]
    """As the model sees it."""
    note: str
    """What is to be said of it, such as that it has one colour."""
    activated: int
    """Neurons that are activated on it."""
    neurons: int
    """Of how many."""
    concepts: Mapping[Method, tuple[Concept, ...]]
    heats: Float[np.ndarray, "concept row column"]
    """Where the concepts of the first method come from, if neurons name them; else none."""

    def table(self) -> "Table":
        """A row per rank, a column per method, for a terminal."""
        first = next(iter(self.concepts))
        most = max(map(len, self.concepts.values()))
        rows = [
            (
                str(rank + 1),
                *(_cell(found, rank) for found in self.concepts.values()),
                _sources(self.concepts[first], rank),
            )
            for rank in range(most)
        ]
        headings = ("rank", *self.concepts, f"neurons of {first}")
        note = f"; {self.note}" if self.note else ""
        caption = f"{self.activated:,} of {self.neurons:,} neurons activated{note}"
        spare = (f"neurons of {first}", "other-neurons", "textspan", "splice", "nearest")
        return terminal(self.name, headings, rows, right=("rank",), caption=caption, spare=spare)


def _cell(found: Sequence[Concept], rank: int) -> str:
    return f"{found[rank].text} {found[rank].score:.3f}" if rank < len(found) else "-"


def _sources(found: Sequence[Concept], rank: int) -> str:
    if rank >= len(found):
        return "-"
    return "  ".join(
        f"{source.layer}:{source.neuron} {source.given:+.3f}" for source in found[rank].sources[:2]
    )


def seen(
    finder: Finder, preprocess: Preprocess, data: bytes, name: str, count: int, strongest: int
) -> Seen:
    """A picture's concepts, of its encoded bytes; raises PictureError where these cannot be used."""
    decoded = preprocess.read(data, name)
    found = finder.of(decoded.pixels[None])
    return Seen(
        name,
        decoded.pixels,
        decoded.note,
        int(found.activated.sum()),
        found.activated.shape[1],
        _concepts(finder, found, count, strongest),
        _heats(finder, found, count),
    )


def _concepts(
    finder: Finder, found: Found, count: int, strongest: int
) -> dict[Method, tuple[Concept, ...]]:
    layers, each = finder.search.layers, finder.neurons
    concepts: dict[Method, tuple[Concept, ...]] = {}
    for item in listed(found, count, strongest):
        stops = np.cumsum(item.counts)
        concepts[item.method] = tuple(
            Concept(
                finder.names[text],
                score,
                tuple(
                    Source(layers[neuron // each], neuron % each, amount)
                    for neuron, amount in zip(
                        item.neurons[stop - size : stop].tolist(),
                        item.amounts[stop - size : stop].tolist(),
                        strict=True,
                    )
                ),
            )
            for text, score, size, stop in zip(
                item.text.tolist(),
                item.score.tolist(),
                item.counts.tolist(),
                stops.tolist(),
                strict=True,
            )
            if text >= 0
        )
    return concepts


@torch.inference_mode()
def _heats(finder: Finder, found: Found, count: int) -> Float[np.ndarray, "concept row column"]:
    """The patches behind the concepts of the first method; none for a method without neurons."""
    method = next(iter(found.scores))
    if method not in found.given:
        return np.zeros((0, 1, 1), np.float32)
    scores = found.scores[method]
    chosen = best(scores, count)
    sources = behind(found.given[method], chosen, scores.shape[1])
    activations = torch.cat(
        [found.trace.activations[layer][:, 1:].float() for layer in finder.search.layers], dim=2
    )
    maps = heats(sources, activations, chosen.shape[1])[0].cpu()
    height, width = finder.clip.image_size
    rows = max(1, round((maps.shape[1] * height / width) ** 0.5))
    shown = maps[scores.gather(1, chosen)[0].cpu() > 0]
    grids: Float[np.ndarray, "concept row column"]
    grids = shown.view(len(shown), rows, maps.shape[1] // rows).numpy()
    return grids
