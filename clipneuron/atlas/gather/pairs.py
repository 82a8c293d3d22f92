"""The cards of pairs of classes: spurious words, the neurons behind them, and the pictures made of them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clipneuron.atlas import addresses
from clipneuron.atlas.cards import Cue, Heat, Neuron, Outcome, Painted, PairCard, Picture, Tile
from clipneuron.atlas.shades import encoded
from clipneuron.attack.results import AttackResults
from clipneuron.store.run import Run
from clipneuron.tables.experiments import METHODS, Pair, pair_key, pair_name

CUES = 24
"""Words of a pair that are shown."""
NEURONS = 6
"""Neurons of a word."""
OURS = METHODS[0]
"""The words of a pair are those of this method."""

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class PairCards:
    """The pairs of an attack, and the adversarial pictures that each neuron took part in."""

    cards: tuple[PairCard, ...] = ()

    @property
    def attacks(self) -> dict[Neuron, tuple[Painted, ...]]:
        """The pictures of each neuron whose words are in their captions."""
        found: dict[Neuron, list[Painted]] = {}
        for card in self.cards:
            for painted in card.gallery:
                for neuron in painted.neurons:
                    found.setdefault(neuron, []).append(painted)
        return {neuron: tuple(own) for neuron, own in found.items()}

    @classmethod
    def of(cls, run: Run, attack: AttackResults | None, painted: str) -> "PairCards":
        """Read an attack's tables and the thumbnails of its pictures; raises StoreError."""
        if attack is None or not painted:
            return cls()
        tiles = {row["image"]: row for row in _tiles(run, painted)}
        return cls(tuple(_card(run, attack, pair, tiles) for pair in attack.pairs))


def _tiles(run: Run, stage: str) -> Rows:
    names = ("key", "image", "tile_width", "tile_height", "large_width", "large_height")
    rows: Rows = run.read(stage, "thumbnails", columns=[*names]).to_pylist()
    return rows


def _card(
    run: Run, attack: AttackResults, pair: Pair, tiles: Mapping[str, Mapping[str, Any]]
) -> PairCard:
    name, key = pair_name(pair), pair_key(pair)
    own = [("pair", "==", name)]
    words = run.read(attack.words, "words", shards=[key], filters=own).to_pylist()
    given = run.read(attack.words, "word_neurons", shards=[key], filters=own).to_pylist()
    verdicts = run.read(attack.verdicts, "verdicts", filters=own)
    cues = [row for row in words if row["method"] == OURS and row["status"] == "ok"]
    behind = _behind(row for row in given if row["method"] == OURS and row["repeat"] == 0)
    first = sorted((row for row in cues if row["repeat"] == 0), key=lambda row: row["rank"])
    chosen = verdicts.filter(pc.is_in(verdicts["picture"], value_set=pa.array([*tiles])))
    captions = run.read(attack.captions, "captions", shards=[key], filters=own).to_pylist()
    return PairCard(
        pair=name,
        c1=pair[0],
        c2=pair[1],
        cues=tuple(
            Cue(row["text"], row["score"], tuple(behind.get(row["text"], ())[:NEURONS]))
            for row in first[:CUES]
        ),
        outcomes=tuple(_outcomes(verdicts)),
        gallery=tuple(_gallery(chosen.to_pylist(), captions, given, tiles)),
    )


def _behind(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[tuple[Neuron, float]]]:
    """The neurons behind each word, those that contribute most first."""
    found: dict[str, list[tuple[Neuron, float]]] = {}
    for row in sorted(rows, key=lambda row: (-row["contribution"], row["layer"], row["neuron"])):
        pair = (row["layer"], row["neuron"]), row["contribution"]
        found.setdefault(row["text"], []).append(pair)
    return found


def _outcomes(verdicts: pa.Table) -> Iterable[Outcome]:
    """How many pictures of each method were judged, and how many fooled the model."""
    good = verdicts.filter(pc.equal(verdicts["status"], "ok"))
    judged = Counter(good["method"].to_pylist())
    fooled = Counter(good.filter(good["fooled"])["method"].to_pylist())
    return [Outcome(name, judged[name], fooled[name]) for name in METHODS if judged[name]]


def _gallery(
    verdicts: Rows, captions: Rows, given: Rows, tiles: Mapping[str, Mapping[str, Any]]
) -> Iterable[Painted]:
    """The pictures that have a thumbnail, in the order of these."""
    order = {image: place for place, image in enumerate(tiles)}
    written = {(row["method"], row["repeat"], row["number"]): row for row in captions}
    of_words: dict[tuple[str, int], dict[str, list[tuple[Neuron, float]]]] = {}
    for method, repeat in {(row["method"], row["repeat"]) for row in verdicts}:
        own = (row for row in given if (row["method"], row["repeat"]) == (method, repeat))
        of_words[method, repeat] = _behind(own)
    for row in sorted(verdicts, key=lambda row: order[row["picture"]]):
        number = int(row["picture"].rpartition("/")[2].partition("-")[0])
        caption = written[row["method"], row["repeat"], number]
        behind = of_words[row["method"], row["repeat"]]
        yield _painted(row, caption, behind, tiles[row["picture"]])


def _painted(
    row: Mapping[str, Any],
    caption: Mapping[str, Any],
    behind: Mapping[str, list[tuple[Neuron, float]]],
    tile: Mapping[str, Any],
) -> Painted:
    words = tuple(caption["words"])
    neurons = [neuron for word in words for neuron, _ in behind.get(word, ())[:NEURONS]]
    return Painted(
        picture=picture_of(tile, words),
        pair=row["pair"],
        caption=caption["caption"],
        words=words,
        neurons=tuple(dict.fromkeys(neurons)),
        margin=row["margin"],
        fooled=row["fooled"],
        prediction=row["prediction"] or "",
        heat=_heat(row["heatmap"]),
        method=row["method"],
    )


def picture_of(tile: Mapping[str, Any], says: tuple[str, ...]) -> Picture:
    """A painted picture, from its row of the table `thumbnails`."""
    key = tile["key"]
    has, more = tile["tile_width"] is not None, tile["large_width"] is not None
    return Picture(
        key=key,
        name=tile["image"],
        tile=Tile(addresses.tile(key), tile["tile_width"], tile["tile_height"]) if has else None,
        large=Tile(addresses.large(key), tile["large_width"], tile["large_height"])
        if more
        else None,
        says=says,
    )


def _heat(values: Sequence[float] | None) -> Heat | None:
    """First-order effects of square patches along c2 - c1."""
    side = isqrt(len(values)) if values else 0
    if not values or side**2 != len(values):
        return None
    array = np.asarray(values, np.float64)
    scale = float(np.abs(array).max())
    shares = array / scale if scale else array
    return Heat(side, side, encoded(shares).tobytes(), scale)
