"""The card of the front page, and the map of all neurons."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clipneuron.atlas.cards import Claim, FrontCard, MapCard, PairCard, Point, Row
from clipneuron.atlas.finding.plane import places
from clipneuron.atlas.finding.words import meanings
from clipneuron.atlas.gather.overview import Overview, known, ranked
from clipneuron.readers.arrow import tensor
from clipneuron.store.run import Run

LISTED = 12
"""Neurons in each list."""


def map_card(run: Run, directions: str, overview: Overview) -> MapCard | None:
    """All neurons in the plane; None where none has a direction. Reads a shard of directions at a time."""

    def blocks() -> Iterator[NDArray[np.floating[Any]]]:
        for _, part in run.scan(directions, "directions", columns=["layer", "neuron", "direction"]):
            rows = part.sort_by([("layer", "ascending"), ("neuron", "ascending")])
            yield tensor(rows["direction"]).numpy()

    keys = [
        (row["layer"], row["neuron"])
        for _, part in run.scan(directions, "directions", columns=["layer", "neuron"])
        for row in part.sort_by([("layer", "ascending"), ("neuron", "ascending")]).to_pylist()
    ]
    if overview.silent.all():
        return None
    found = places(blocks)
    points = (
        Point(key, float(x), float(y), known(overview.score[overview.row(key)]))
        for key, x, y in zip(keys, found.x.tolist(), found.y.tolist(), strict=True)
    )
    return MapCard(overview.layers, found.explained, tuple(sorted(points, key=lambda p: p.neuron)))


def meanings_of(run: Run, texts: str, overview: Overview) -> NDArray[np.float64]:
    """How many meanings the words of each neuron have, by the embeddings that a stage has of the first pool's texts."""
    if not overview.words:
        return np.full(len(overview), np.nan)
    spoken = overview.words[0]
    rows = run.read(texts, "text_embeddings", columns=["text_index", "text", "embedding"])
    rows = rows.sort_by("text_index")
    numbers = {text: number for number, text in enumerate(rows["text"].to_pylist())}
    embeddings = tensor(rows["embedding"]).numpy()
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    pool = np.array([numbers[text] for text in spoken.texts], np.int64)
    pairs = [*zip(pool[spoken.text].tolist(), spoken.weight.tolist(), strict=True)]
    bounds = zip(spoken.starts[:-1].tolist(), spoken.starts[1:].tolist(), strict=True)
    return meanings([pairs[first:last] for first, last in bounds], units)


def front_card(
    overview: Overview,
    *,
    run: str,
    facts: Sequence[tuple[str, str]],
    words: int,
    pairs: Sequence[PairCard],
    claims: Sequence[Claim],
    meanings: NDArray[np.float64],
    against: str = "",
    caveat: str = "",
) -> FrontCard:
    """What was run, and the neurons to look at first."""
    speaks = ~overview.silent
    scores = np.where(speaks, overview.score, np.nan)
    # The words of a badly explained direction are unlike each other by chance.
    clear = speaks & (overview.explained >= np.median(overview.explained))
    many = np.where(clear, meanings, np.nan)
    changes = 1 - overview.cosine if len(overview.cosine) else np.zeros(0)
    return FrontCard(
        run=run,
        facts=tuple(facts),
        layers=overview.layers,
        neurons=len(overview),
        words=words,
        pictures=len(overview.pictures.index) + sum(len(card.gallery) for card in pairs),
        pairs=tuple((card.pair, _about(card)) for card in pairs),
        claims=tuple(claims),
        polysemantic=_rows(overview, many),
        best=_rows(overview, scores),
        worst=_rows(overview, scores, largest=False),
        changed=_rows(overview, changes),
        against=against,
        caveat=caveat,
    )


def claims_of(run: Run, file: str) -> list[Claim]:
    """The claims of the paper's evidence with this run's numbers, as its report has them; none without a report.

    Reports of earlier versions have no more than findings that are no numbers.
    """
    if not file:
        return []
    found = json.loads(run.objects.get(f"reports/{file}"))
    return [
        Claim(
            row["where"],
            row["statement"],
            row.get("paper", row["paper_says"]),
            row.get("ours", row["ours_says"]),
            row["verdict"],
        )
        for row in found
    ]


def _rows(
    overview: Overview, values: NDArray[np.floating[Any]], largest: bool = True
) -> tuple[Row, ...]:
    chosen = ranked(values, LISTED, largest)
    return tuple(overview.card(row, value=float(values[row])) for row in chosen)


def _about(card: PairCard) -> str:
    """How often the model fell for pictures of a pair, in a few words."""
    judged = sum(item.pictures for item in card.outcomes)
    fooled = sum(item.fooled for item in card.outcomes)
    return (
        f"{fooled:,} of {judged:,} pictures fool the model" if judged else "no picture was judged"
    )
