"""A small byte-pair vocabulary in the format that open_clip's SimpleTokenizer reads."""

import gzip
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path

from clipneuron.demo.backgrounds import PHRASES
from clipneuron.demo.captions import pool
from clipneuron.demo.things import THINGS

Merge = tuple[str, str]

BASE = 512 + 2
"""Entries before any merge: 256 bytes, the same at the end of a word, and two special tokens."""


def world_words() -> frozenset[str]:
    """Every word that captions of the world can use."""
    texts = [*pool(), *PHRASES.values(), "some a an one two three and photo picture of"]
    texts += [word for item in THINGS for word in (item.plural, *item.aliases)]
    return frozenset(re.findall("[a-z]+", " ".join(texts)))


def word_weights(common: int = 4000) -> dict[str, float]:
    """The words to learn merges from: the most common English ones and, with the highest weight, the world's."""
    from wordfreq import top_n_list, word_frequency  # takes a second to import

    words = {w for w in top_n_list("en", common) if re.fullmatch("[a-z]+", w)}
    weights = {word: word_frequency(word, "en") for word in sorted(words)}
    return weights | dict.fromkeys(sorted(world_words()), 1.0)


def learn_merges(weights: Mapping[str, float], count: int) -> list[Merge]:
    """The byte-pair merges, best first: each joins the pair with the largest weight at the time."""
    words = [[*word[:-1], word[-1] + "</w>"] for word in weights]
    weight = list(weights.values())
    pairs: defaultdict[Merge, float] = defaultdict(float)
    places: dict[Merge, set[int]] = {}
    for place in range(len(words)):
        _count(words[place], weight[place], place, pairs, places)
    merges: list[Merge] = []
    while len(merges) < count and pairs:
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        if pairs[best] <= 0:
            break
        merges.append(best)
        for place in sorted(places.pop(best)):
            _count(words[place], -weight[place], place, pairs, places)
            words[place] = _merged(words[place], best)
            _count(words[place], weight[place], place, pairs, places)
        del pairs[best]
    return merges


def _count(
    word: list[str],
    weight: float,
    place: int,
    pairs: defaultdict[Merge, float],
    places: dict[Merge, set[int]],
) -> None:
    """Add the weight of the word to each of its pairs."""
    for pair in pairwise(word):
        pairs[pair] += weight
        places.setdefault(pair, set()).add(place)


def _merged(word: Iterable[str], best: Merge) -> list[str]:
    """The word with every occurrence of the pair joined, from the left."""
    joined: list[str] = []
    for symbol in word:
        if joined and (joined[-1], symbol) == best:
            joined[-1] += symbol
        else:
            joined.append(symbol)
    return joined


def write_merges(path: Path, merges: Iterable[Merge]) -> None:
    """Write the merges for SimpleTokenizer(bpe_path=path); the same merges give equal bytes."""
    lines = ["#version: 0.2 (clipneuron demo world)", *(" ".join(pair) for pair in merges)]
    # No newline at the end: SimpleTokenizer would read it as one more, empty merge.
    path.write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))
