"""The words of neurons in two runs: which each neuron gained and lost, and which words it happened to."""

from dataclasses import dataclass, replace
from functools import cached_property
from math import log, sqrt
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from clipneuron.operations.compare.arrays import lists, ratio
from clipneuron.operations.compare.sides import Floats, Ints, Side, keys_of


@dataclass(frozen=True)
class Spoken:
    """The signed words of a run's neurons, by neuron and place."""

    row: Ints
    """Of the neuron, among those that are compared."""
    code: Ints
    """Of the word: twice its number, and one more where its weight is negative."""
    weight: Floats
    """Without its sign."""


class WordChange(NamedTuple):
    """How many neurons have a word, with its sign, in A and in B, and how many gained and lost it."""

    word: str
    neurons_a: int
    neurons_b: int
    gained: int
    lost: int
    shift: float
    """By how much its weights are more in B, summed over neurons."""
    z: float
    """The shift in units of what it comes to where each neuron's change might as well have gone the other way."""

    @property
    def net(self) -> int:
        """By how many neurons it is more in B."""
        return self.gained - self.lost


RISK = 0.05
"""Of the comparisons in which nothing but noise differs, the share in which some word is above the floor."""


def noise_floor(words: int) -> float:
    """The |z| that the largest of so many words exceeds in at most 5 % of comparisons where all changes are noise.

    If each change d is as likely up as down, whatever its size, z = sum d / sqrt(sum d^2) is t or more, or -t or less,
    with a probability of at most 2 exp(-t^2 / 2): Hoeffding's inequality, given the sizes; Efron, "Student's t-test
    under symmetry conditions", JASA 64 (1969).

    >>> round(noise_floor(1), 2), round(noise_floor(2000), 2)
    (2.72, 4.75)
    """
    return sqrt(2 * log(2 * max(1, words) / RISK))


@dataclass(frozen=True)
class WordChanges:
    """What became of the words of the neurons that are compared."""

    words: tuple[str, ...]
    """With their signs, by code."""
    a: Spoken
    b: Spoken
    neurons: int

    @classmethod
    def of(cls, a: Side, b: Side, keys: Ints, flipped: NDArray[np.bool_]) -> "WordChanges":
        """The changes of the neurons with these keys; of those that are flipped, the signs of B are turned around."""
        tables = [_read(side) for side in (a, b)]
        texts = pc.unique(pa.chunked_array([*tables[0]["text"].chunks, *tables[1]["text"].chunks]))
        one, other = (_spoken(table, texts, keys) for table in tables)
        turned = replace(other, code=other.code ^ flipped[other.row].astype(np.int64))
        signed = (f"{sign}{text}" for text in texts.to_pylist() for sign in "+-")
        return cls(tuple(signed), one, turned, len(keys))

    @cached_property
    def gained(self) -> pa.Array:
        """The words of each neuron that only B has, in B's order."""
        return self._lists(self.b, ~self._in_both[1])

    @cached_property
    def lost(self) -> pa.Array:
        """The words of each neuron that only A has, in A's order."""
        return self._lists(self.a, ~self._in_both[0])

    @cached_property
    def kept(self) -> Ints:
        """How many words of each neuron both have."""
        return np.bincount(self.a.row[self._in_both[0]], minlength=self.neurons)

    def by_word(self) -> list[WordChange]:
        """Every word that some neuron gained or lost: those first whose weights moved one way, not to and fro.

        A word that many neurons have moves by many neurons for no reason: a count of them would list it first.
        """
        size, (shift, z) = len(self.words), self._moved
        has = [np.bincount(side.code, minlength=size) for side in (self.a, self.b)]
        lost, gained = (
            np.bincount(side.code[~both], minlength=size)
            for side, both in zip((self.a, self.b), self._in_both, strict=True)
        )
        found = [
            WordChange(
                word=self.words[n],
                neurons_a=int(has[0][n]),
                neurons_b=int(has[1][n]),
                gained=int(gained[n]),
                lost=int(lost[n]),
                shift=float(shift[n]),
                z=float(z[n]),
            )
            for n in np.flatnonzero(gained + lost)
        ]
        return sorted(found, key=lambda one: (-abs(one.z), -abs(one.net), one.word))

    @cached_property
    def _moved(self) -> tuple[Floats, Floats]:
        """Of each word, the sum over neurons of its weight's change, and that sum over its size by chance."""
        size = max(1, len(self.words))
        pair = np.concatenate([side.row * size + side.code for side in (self.b, self.a)])
        places, number = np.unique(pair, return_inverse=True)
        change = np.bincount(number, np.concatenate([self.b.weight, -self.a.weight]))
        shift, square = (
            np.bincount(places % size, values, minlength=size) for values in (change, change**2)
        )
        return shift.astype(np.float64), ratio(shift, np.sqrt(square))

    @cached_property
    def _in_both(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        one, other = (side.row * max(1, len(self.words)) + side.code for side in (self.a, self.b))
        return np.isin(one, other), np.isin(other, one)

    def _lists(self, side: Spoken, chosen: NDArray[np.bool_]) -> pa.Array:
        known = pa.array(self.words, pa.string())
        return lists(side.row[chosen], known.take(pa.array(side.code[chosen])), self.neurons)


def signed_words(side: Side, keys: Ints) -> list[list[str]]:
    """The words with their signs of the neurons with these keys, in their order."""
    order = np.argsort(keys)
    texts = pc.unique((table := _read(side))["text"])
    spoken = _spoken(table, texts, keys[order])
    found: list[list[str]] = [[] for _ in keys]
    for row, code in zip(spoken.row.tolist(), spoken.code.tolist(), strict=True):
        found[order[row]].append(f"{'+-'[code % 2]}{texts[code // 2].as_py()}")
    return found


def _read(side: Side) -> pa.Table:
    columns = ["layer", "neuron", "place", "text", "weight"]
    return side.run.read(side.results.descriptions, "neuron_words", columns=columns)


def _spoken(table: pa.Table, texts: pa.Array, keys: Ints) -> Spoken:
    """The words of the neurons whose keys, rising, these are."""
    own = keys_of(table)
    row = np.searchsorted(keys, own).clip(max=max(0, len(keys) - 1))
    wanted = keys[row] == own if len(keys) else np.zeros(len(own), dtype=bool)
    number = pc.index_in(table["text"], texts).to_numpy().astype(np.int64)
    weight = table["weight"].to_numpy().astype(np.float64)
    code, place = 2 * number + (weight < 0), table["place"].to_numpy()
    row, code, place, weight = (each[wanted] for each in (row, code, place, weight))
    order = np.lexsort((place, row))
    return Spoken(row[order], code[order], np.abs(weight[order]))
