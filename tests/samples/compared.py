"""Runs made of tables only, as small as a comparison's tests want them, and changes that are planted in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from clipneuron.concepts.results import ConceptResults
from clipneuron.evidence.results import EvidenceResults
from clipneuron.explanation.results import ExplanationResults
from clipneuron.store.outlines import Cut, StageOrder
from clipneuron.store.store import Run, Store
from clipneuron.sweep.results import SweepResults
from clipneuron.tables import registry as tables

PICTURES, TOP, EMBED = 40, 6, 32
WORDS = tuple(f"word {number}" for number in range(24))


@dataclass(frozen=True)
class World:
    """What a run's tables say, before they are written: layer -> arrays by neuron."""

    direction: dict[int, np.ndarray]
    words: dict[tuple[int, int], list[tuple[str, float]]]
    norms: dict[int, np.ndarray]
    """|phi - b| [picture, neuron]."""
    explained: dict[int, np.ndarray]
    correlation: dict[int, np.ndarray]
    accuracy: dict[tuple[str, int, int], int]
    """Pictures of 40 that are classified rightly, by ablation."""
    texts: np.ndarray
    notes: dict[tuple[int, int], str] = field(default_factory=dict)
    identity: Mapping[str, Any] = field(
        default_factory=lambda: {"model": "one", "images": "same", "top": TOP}
    )
    concepts: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    """Method -> picture -> its concepts."""
    prefix: str = ""
    """Of the pictures' ids."""
    numbers: str = "float32"
    """Of the table `norms`."""


def world(
    layers: Sequence[int] = (0, 1), neurons: int = 12, seed: int = 0, embed: int = EMBED
) -> World:
    """Random tables."""
    dice = np.random.default_rng(seed)

    def per_layer(*shape: int) -> dict[int, np.ndarray]:
        return {layer: dice.random(shape) for layer in layers}

    places = [(layer, neuron) for layer in layers for neuron in range(neurons)]
    spoken = {
        place: [
            (WORDS[n], float(w))
            for n, w in zip(dice.choice(24, 3, False), (0.9, 0.5, -0.3), strict=True)
        ]
        for place in places
    }
    return World(
        direction={layer: dice.normal(size=(neurons, embed)) for layer in layers},
        words=spoken,
        norms={layer: dice.gamma(1.0, size=(PICTURES, neurons)) for layer in layers},
        explained=per_layer(neurons),
        correlation=per_layer(neurons),
        accuracy={("none", -1, -1): 36, ("all", layers[0], -1): 30},
        texts=dice.normal(size=(len(WORDS), embed)),
    )


def exchanged(found: World, pairs: Sequence[tuple[tuple[int, int], tuple[int, int]]]) -> World:
    """The world with directions and words of some pairs of neurons exchanged."""
    direction = {layer: rows.copy() for layer, rows in found.direction.items()}
    words = dict(found.words)
    for one, other in pairs:
        direction[one[0]][one[1]] = found.direction[other[0]][other[1]]
        direction[other[0]][other[1]] = found.direction[one[0]][one[1]]
        words[one], words[other] = found.words[other], found.words[one]
    return replace(found, direction=direction, words=words)


def renamed(found: World, **identity: Any) -> World:
    """The world under another identity."""
    return replace(found, identity={**found.identity, **identity})


def written(
    root: Path | str,
    found: World,
    name: str = "sample",
    *,
    block: int = 5,
    scores: bool = False,
    accuracies: bool = False,
    details: Mapping[str, Any] | None = None,
    leave_out: Sequence[str] = (),
    backwards: bool = False,
) -> Run:
    """The run with these tables, shards of `block` neurons; `leave_out` names shards that are not committed.

    backwards: the pictures' ids fall with their numbers.
    """
    asked = dict(details or {"recipe": {"pool": "demo"}})
    run = Store(root).open_run(name, found.identity, asked)
    run.commit("plan", "0", {"plan": _plan(found.prefix, backwards)})
    run.commit(
        "effects", "0", {"norms": _norms(found, 0, 20), "summaries": _summaries(found, 0, 20)}
    )
    run.commit(
        "effects", "1", {"norms": _norms(found, 20, 40), "summaries": _summaries(found, 20, 40)}
    )
    run.commit("texts-0", "0", {"text_embeddings": _texts(found)})
    shards = []
    for layer, rows in found.direction.items():
        for first in range(0, len(rows), block):
            shard = f"layer-{layer:02d}-neurons-{first:05d}"
            shards.append((shard, min(block, len(rows) - first)))
            if shard not in leave_out:
                neurons = range(first, min(first + block, len(rows)))
                run.commit("directions", shard, {"directions": _directions(found, layer, neurons)})
                run.commit("descriptions-0", shard, {"neuron_words": _words(found, layer, neurons)})
    for stage in ("directions", "descriptions-0"):
        run.announce(Cut.of(stage, "neurons", shards, 3))
    stages, kinds = ("plan", "texts-0", "directions"), ("plan", "texts", "directions")
    run.announce(StageOrder(stages=stages, kinds=kinds, details=asked))
    layers = tuple(found.direction)
    run.announce(
        SweepResults(
            name="d", layers=layers, directions="directions", descriptions="descriptions-0"
        )
    )
    if scores:
        _score(run, found)
    if accuracies:
        _judge(run, found)
    if found.concepts:
        _conceive(run, found.concepts)
    return run


def _table(name: str, columns: Mapping[str, Any], **shape: Any) -> pa.Table:
    schema = tables.schema(name, **shape)
    return pa.Table.from_arrays([pa.array(columns[f.name], f.type) for f in schema], schema=schema)


def _plan(prefix: str, backwards: bool) -> pa.Table:
    nothing = [None] * PICTURES
    ids = [f"{prefix}{number}.png" for number in range(PICTURES)][:: -1 if backwards else 1]
    columns = {"index": range(PICTURES), "image": ids, "shard": ["0"] * PICTURES, "label": nothing}
    columns |= {"label_name": nothing, "source": ids, "offset": nothing, "part": [0] * PICTURES}
    return _table("plan", columns | {"size": nothing, "etag": nothing})


def _norms(found: World, first: int, last: int) -> pa.Table:
    count = last - first
    columns: dict[str, Any] = {
        "index": range(first, last),
        "image": [f"{n}.png" for n in range(first, last)],
    }
    columns |= {
        "label": [None] * count,
        "status": ["ok"] * count,
        "reason": [None] * count,
        "note": [None] * count,
    }
    columns |= {
        f"layer_{layer}": list(rows[first:last].astype(found.numbers))
        for layer, rows in found.norms.items()
    }
    neurons = len(next(iter(found.direction.values())))
    numbers = pa.type_for_alias(found.numbers)
    return _table("norms", columns, layers=list(found.norms), neurons=neurons, numbers=numbers)


def _summaries(found: World, first: int, last: int) -> pa.Table:
    parts = []
    for layer, norms in found.norms.items():
        own, neurons = norms[first:last], norms.shape[1]
        columns: dict[str, Any] = {"layer": [layer] * neurons, "neuron": range(neurons)}
        columns |= {
            "count": [last - first] * neurons,
            "norm_sum": own.sum(0),
            "square_sum": (own**2).sum(0),
        }
        columns |= {
            "fourth_sum": (own**4).sum(0),
            "histogram": [[0]] * neurons,
            "top_norms": [[0.0]] * neurons,
        }
        columns |= {"top_images": [[-1]] * neurons, "top_coefficients": [[0.0]] * neurons}
        parts.append(_table("summaries", columns))
    return pa.concat_tables(parts)


def _texts(found: World) -> pa.Table:
    columns = {"text_index": range(len(WORDS)), "text": WORDS, "note": [None] * len(WORDS)}
    return _table("text_embeddings", columns | {"embedding": list(found.texts)})


def _directions(found: World, layer: int, neurons: range) -> pa.Table:
    norms = found.norms[layer]
    top = [np.argsort(-norms[:, neuron])[:TOP] for neuron in neurons]
    heights = [norms[rows, neuron] for rows, neuron in zip(top, neurons, strict=True)]
    rows = found.direction[layer][list(neurons)]
    columns: dict[str, Any] = {
        "layer": [layer] * len(neurons),
        "neuron": neurons,
        "direction": list(rows / np.linalg.norm(rows, axis=1, keepdims=True)),
        "mean": list(np.zeros_like(rows)),
        "explained_variance": found.explained[layer][list(neurons)],
        "note": [found.notes.get((layer, neuron)) for neuron in neurons],
        "threshold": [one.min() for one in heights],
        "top_images": top,
        "top_norms": heights,
        "top_projections": heights,
    }
    columns |= dict.fromkeys(("quantile_98", "share", "participation"), [0.1] * len(neurons))
    return _table("directions", columns | {"count": [PICTURES] * len(neurons)})


def _words(found: World, layer: int, neurons: range) -> pa.Table:
    rows = [
        (layer, neuron, place, text, 0, weight)
        for neuron in neurons
        for place, (text, weight) in enumerate(found.words[layer, neuron])
    ]
    names = ("layer", "neuron", "place", "text", "text_index", "weight")
    return _table("neuron_words", {name: [row[n] for row in rows] for n, name in enumerate(names)})


def _score(run: Run, found: World) -> None:
    describers = {"pursuit": "descriptions-0", "random": "random-words"}
    run.announce(
        ExplanationResults(
            name="s",
            layers=tuple(found.direction),
            directions="directions",
            describers=describers,
            scores="scores",
        )
    )
    for layer, values in found.correlation.items():
        parts = []
        for describer, scale in (("pursuit", 1.0), ("random", 0.0)):
            columns = {name: [0.1] * len(values) for name in tables.schema("scores").names}
            columns |= {
                "layer": [layer] * len(values),
                "neuron": range(len(values)),
                "by": ["truth"] * len(values),
            }
            columns |= {"describer": [describer] * len(values), "correlation": values * scale}
            parts.append(_table("scores", columns))
        run.commit("scores", f"layer-{layer:02d}", {"scores": pa.concat_tables(parts)})


def _judge(run: Run, found: World) -> None:
    run.announce(
        EvidenceResults(
            name="e",
            predictions=("ablations", "first-order"),
            ablations="ablations",
            first_order="first-order",
            indirect_directions="indirect-directions",
            directions="directions",
        )
    )
    for shard, start in (("0", 0), ("1", 20)):
        rows = [
            (index, f"{index}.png", 0, "ok", None, None, layer, head, name, int(index >= right))
            for (name, layer, head), right in found.accuracy.items()
            for index in range(start, start + 20)
        ]
        names = tables.schema("predictions").names
        table = _table(
            "predictions", {name: [row[n] for row in rows] for n, name in enumerate(names)}
        )
        run.commit("ablations", shard, {"predictions": table})


def _conceive(run: Run, concepts: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
    """With a picture that could not be read."""
    results = ConceptResults(name="c", concepts="concepts", index="concept-index")
    run.announce(results)
    names = tables.schema("picture_concepts").names
    rows = [
        {"image": image, "status": "ok", "method": method, "rank": rank, "concept": concept}
        for method, pictures in concepts.items()
        for image, named in pictures.items()
        for rank, concept in enumerate(named)
    ]
    rows.append({"image": "torn.png", "status": "failed", "reason": "torn"})
    columns = {name: [row.get(name) for row in rows] for name in names} | {
        "index": range(len(rows))
    }
    run.commit("concepts", "0", {"picture_concepts": _table("picture_concepts", columns)})
