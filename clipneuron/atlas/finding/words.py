"""What words have to do with each other by the neurons that use them, and how many meanings a neuron has."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from clipneuron.atlas.cards import Neuron

Ints = NDArray[np.int64]
_BLOCK = 512


@dataclass(frozen=True)
class Uses:
    """Which neurons are described with which words: a use per neuron and word, by word, largest |weight| first."""

    texts: tuple[str, ...]
    """The words, rising."""
    word: Ints
    """Number of the word of each use."""
    neuron: Ints
    """Its neuron, as layer * 2^32 + number."""
    weight: NDArray[np.float32]

    @classmethod
    def of(cls, table: pa.Table) -> "Uses":
        """From rows of `neuron_words`, of one pool or several: a word that two pools give a neuron counts once."""
        texts = pc.unique(table["text"])
        order = pc.array_sort_indices(texts)
        word = pc.index_in(table["text"], texts.take(order)).to_numpy().astype(np.int64)
        layer = table["layer"].to_numpy().astype(np.int64)
        neuron = (layer << 32) + table["neuron"].to_numpy()
        weight = table["weight"].to_numpy().astype(np.float32)
        together = np.lexsort((-np.abs(weight), neuron, word))
        again = (np.diff(word[together]) == 0) & (np.diff(neuron[together]) == 0)
        once = together[np.concatenate([[True], ~again])[: len(together)]]
        kept = once[np.lexsort((neuron[once], -np.abs(weight[once]), word[once]))]
        names = tuple(texts.take(order).to_pylist())
        return cls(names, word[kept], neuron[kept], weight[kept])

    @cached_property
    def counts(self) -> Ints:
        """How many neurons use each word."""
        return np.bincount(self.word, minlength=len(self.texts))

    def neurons(self, word: int, most: int | None = None) -> list[tuple[Neuron, float]]:
        """The neurons that use a word with their weights, the largest absolute one first."""
        own = self._of_word(word)
        own = slice(own.start, own.stop if most is None else min(own.stop, own.start + most))
        keys, weights = self.neuron[own].tolist(), self.weight[own].tolist()
        return [((key >> 32, key & 0xFFFFFFFF), w) for key, w in zip(keys, weights, strict=True)]

    def companions(self, word: int, most: int) -> list[tuple[str, int]]:
        """Words that neurons use together with this one, and how many neurons do.

        Those first that share most more neurons with it than words that neurons chose independently would,
        n_a n_b / N; without those that share no more than that. A text of another sign is the same word.
        """
        mine = self._rows_of_neuron[self._of_word(word)]
        starts = self._starts_by_neuron
        spans = [self._words_by_neuron[starts[n] : starts[n + 1]] for n in mine.tolist()]
        others, shared = np.unique(
            np.concatenate([*spans, np.empty(0, np.int64)]), return_counts=True
        )
        chance = self.counts[word] * self.counts[others] / max(1, len(starts) - 1)
        excess = shared - chance
        order = np.lexsort((others, -excess))
        best = [n for n in order.tolist() if others[n] != word and excess[n] > 0][:most]
        return [(self.texts[others[n]], int(shared[n])) for n in best]

    def _of_word(self, word: int) -> slice:
        return slice(int(self._starts[word]), int(self._starts[word + 1]))

    @cached_property
    def _starts(self) -> Ints:
        return np.concatenate([[0], np.cumsum(self.counts)])

    @cached_property
    def _rows_of_neuron(self) -> Ints:
        """The neuron of each use, numbered from 0."""
        return np.unique(self.neuron, return_inverse=True)[1]

    @cached_property
    def _starts_by_neuron(self) -> Ints:
        return np.concatenate([[0], np.cumsum(np.bincount(self._rows_of_neuron))])

    @cached_property
    def _words_by_neuron(self) -> Ints:
        return self.word[np.argsort(self._rows_of_neuron, kind="stable")]


def meanings(
    words: Sequence[Sequence[tuple[int, float]]], embeddings: NDArray[Any] | None = None
) -> NDArray[np.float64]:
    """How many unlike words each neuron has: 1 for one word or synonyms only, k for k words that are nothing alike.

    With p_i = |w_i| / sum |w| and the likeness Z_ij = max(0, cos(sign(w_i) t_i, sign(w_j) t_j)) of centred text
    embeddings t it is 1 / sum_ij p_i p_j Z_ij (Leinster and Cobbold 2012, Measuring diversity, of order 2); without
    embeddings only a word itself is like it. NaN for a neuron without words.

    `words` has number and weight of each of a neuron's words; `embeddings` is [text, embed], of all texts of the pool,
    since their mean, which all texts of CLIP have in common, is taken off.
    """
    centred = None if embeddings is None else _unit(embeddings - np.mean(embeddings, axis=0))
    found = [
        _meanings(*_padded(words[first : first + _BLOCK]), centred)
        for first in range(0, len(words), _BLOCK)
    ]
    return np.concatenate([*found, np.empty(0)])


def _meanings(
    number: Ints, weight: NDArray[np.float64], texts: NDArray[Any] | None
) -> NDArray[np.float64]:
    size = np.abs(weight)
    total = size.sum(1, keepdims=True)
    share = np.divide(size, total, out=np.zeros_like(size), where=total > 0)
    if texts is None:
        alike: NDArray[Any] = (number[:, :, None] == number[:, None, :]).astype(np.float64)
    else:
        signed = texts[number] * np.sign(weight)[..., None]
        alike = np.einsum("nie,nje->nij", signed, signed).clip(0, 1)
        each = np.arange(number.shape[1])
        alike[:, each, each] = 1
    inner = np.einsum("ni,nij,nj->n", share, alike, share)
    found: NDArray[np.float64] = np.divide(
        1, inner, out=np.full(len(inner), np.nan), where=inner > 0
    )
    return found


def _padded(words: Sequence[Sequence[tuple[int, float]]]) -> tuple[Ints, NDArray[np.float64]]:
    """Numbers and weights [neuron, word], 0 where a neuron has fewer."""
    longest = max(map(len, words))
    number = np.zeros((len(words), longest), dtype=np.int64)
    weight = np.zeros((len(words), longest))
    for row, own in enumerate(words):
        for place, (code, value) in enumerate(own):
            number[row, place], weight[row, place] = code, value
    return number, weight


def _unit(rows: NDArray[Any]) -> NDArray[Any]:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    found: NDArray[Any] = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return found
