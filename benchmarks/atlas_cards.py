"""The made-up neurons that atlas.py writes pages of: as full as those of a run with two pools, heats and scores."""

import numpy as np
import pyarrow as pa

from clipneuron.atlas import addresses
from clipneuron.atlas.cards import (
    Described,
    Head,
    Heat,
    Histogram,
    Near,
    Neuron,
    NeuronCard,
    Picture,
    Push,
    Row,
    Score,
    Shown,
    Source,
    Tile,
    Word,
)
from clipneuron.atlas.finding.words import Uses
from clipneuron.atlas.html.links import Site

WORDS, PICTURES, PATCHES = 4, 4000, 16
WORDS_OF = "bcdfghjklmnprstvwz", "aeiou"


class World:
    """Made-up neurons: their words, pictures and figures, the same for the same sizes."""

    def __init__(self, layers: int, neurons: int, vocabulary: int) -> None:
        dice = np.random.default_rng(0)
        self.layers, self.width = layers, neurons
        self.count = layers * neurons
        self.texts = spelled(vocabulary)
        share = 1 / np.arange(1, vocabulary + 1)
        self.codes = dice.choice(vocabulary, (self.count, 2 * WORDS), p=share / share.sum())
        self.weights = dice.uniform(0.05, 0.5, self.codes.shape) * dice.choice(
            [1, 1, 1, -1], self.codes.shape
        )
        self.figures = dice.random((self.count, 4))
        self.heat = dice.integers(1, 256, (64, PATCHES * PATCHES), dtype=np.uint8)
        self.site = Site(
            "vit-l-14-0123abcd", "ViT-L-14 on pictures", tuple(range(layers)), footer="clipneuron"
        )

    def neuron(self, row: int) -> Neuron:
        """Layer and number of a neuron by its row among all."""
        return row // self.width, row % self.width

    def words(self, row: int, pool: int) -> tuple[Word, ...]:
        """Its words from one of the two pools."""
        part = slice(pool * WORDS, (pool + 1) * WORDS)
        found = zip(self.codes[row, part].tolist(), self.weights[row, part].tolist(), strict=True)
        return tuple(Word(self.texts[code], weight) for code, weight in found)

    def shown(self, row: int, place: int) -> Shown:
        """A picture that it shows, with its heat."""
        key = str((row * 31 + place * 17) % PICTURES)
        picture = Picture(
            key, f"{key}.jpg", Tile(addresses.tile(key), 112, 112), label="horse", says=("horse",)
        )
        heat = Heat(PATCHES, PATCHES, self.heat[(row + place) % 64].tobytes(), 0.5)
        return Shown(picture, 3.0 - place / 8, heat, 3.2)

    def card(self, row: int) -> NeuronCard:
        """What its page shows."""
        near = [(row + 1 + 997 * n) % self.count for n in range(10)]
        pools = [
            Described(name, "pursuit", self.words(row, n), Score(0.31, 0.22, 0.4, 0.02))
            for n, name in enumerate(("words", "scenes"))
        ]
        a, b, c, d = self.figures[row].tolist()
        return NeuronCard(
            *self.neuron(row),
            self.neuron(row - 1) if row else None,
            self.neuron(row + 1) if row + 1 < self.count else None,
            pools=tuple(pools),
            top=tuple(self.shown(row, place) for place in range(8)),
            quantiles=tuple((q, self.shown(row, 8 + n)) for n, q in enumerate((0.98, 0.9, 0.75, 0.5))),
            histogram=Histogram(tuple(np.linspace(0, 4, 41).tolist()), tuple(range(40)), 2.5),
            share=a / 10, participation=b / 5, explained_variance=c,
            scree=tuple((0.5 ** np.arange(1, 9)).tolist()),
            heads=tuple(Head(20 + n // 4, n, 0.3 - n / 20) for n in range(12)),
            nearest=tuple(Near(self.neuron(n), 0.9 - d / 9, self.words(n, 0), self.shown(n, 0).picture) for n in near),
            toward=tuple(Push(f"class {n}", 0.2 - n / 50) for n in range(5)),
            away=tuple(Push(f"class {n}", n / 50 - 0.2) for n in range(5, 10)),
            numbers=(("pictures", 5000), ("threshold", 2.5)),
            sources=tuple(Source(f"table {n}", f"stage/layer-{n}.parquet", "0123456789abcdef" * 4) for n in range(6)),
        )  # fmt: skip

    def row(self, row: int) -> Row:
        """What lists and tables show of it."""
        a, b, c, d = self.figures[row].tolist()
        return Row(self.neuron(row), self.words(row, 0), a, b, 3 * c, d)

    def uses(self) -> Uses:
        """The words of all neurons, of both pools."""
        rows = np.repeat(np.arange(self.count), 2 * WORDS)
        return Uses.of(
            pa.table(
                {
                    "layer": (rows // self.width).astype(np.int16),
                    "neuron": (rows % self.width).astype(np.int32),
                    "text": pa.array(self.texts).take(pa.array(self.codes.ravel())),
                    "weight": self.weights.ravel().astype(np.float32),
                }
            )
        )


def spelled(count: int) -> list[str]:
    """Words of so many different beginnings as a language has; a third of them are two words."""
    dice = np.random.default_rng(1)
    consonants, vowels = ([*letters] for letters in WORDS_OF)
    found: dict[str, None] = {}
    while len(found) < count:
        parts = int(dice.integers(2, 5))
        word = "".join(dice.choice(consonants) + dice.choice(vowels) for _ in range(parts))
        found[f"{next(iter(found), 'old')} {word}" if len(found) % 3 == 2 else word] = None
    return list(found)
