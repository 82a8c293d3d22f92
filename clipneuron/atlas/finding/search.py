"""The index that the site's search reads: a tree of prefixes, of which a query loads one small chunk per word it has.

Every word of an entry's text is a key. Keys that begin alike are one node; a node with more than `LEAF` entries is
divided by the next letter and keeps its `SHOWN` best entries itself, for queries that end there. So a search costs the
same few kilobytes however many entries there are.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

from clipneuron.atlas import addresses
from clipneuron.atlas.cards import Neuron
from clipneuron.atlas.finding.chunks import File, chunk, layers_of

LEAF = 150
SHOWN = 30
DEEP = 12
"""Letters after which no node is divided any more: more than `LEAF` entries that begin so are cut off."""
HEAD = "search"
"""The chunk that says which nodes and neurons there are."""

_BETWEEN = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Entry:
    """What can be found by its text."""

    kind: str
    """word, pair"""
    text: str
    address: str
    count: int = 0
    """Of the neurons that use a word, of the pictures of a pair: what has most comes first."""
    neurons: tuple[Neuron, ...] = ()
    """The first few of them, to go there at once."""

    @classmethod
    def word(cls, text: str, count: int, neurons: Sequence[Neuron]) -> "Entry":
        """A word's page."""
        return cls("word", text, addresses.word(text), count, tuple(neurons))

    @classmethod
    def pair(cls, name: str, count: int) -> "Entry":
        """The page of a pair of classes."""
        return cls("pair", name, addresses.pair(name), count)


def index(entries: Iterable[Entry], neurons: Sequence[Neuron]) -> Iterator[File]:
    """The chunks of the index, its head last; the same for the same entries in any order."""
    ranked = sorted(entries, key=lambda entry: (-entry.count, entry.text, entry.kind))
    keys = sorted(key for rank, entry in enumerate(ranked) for key in _keys(rank, entry))
    nodes: list[tuple[str, int]] = []
    for prefix, ranks, whole in _nodes("", keys):
        nodes.append((prefix, int(whole)))
        yield chunk(node_name(prefix), [_row(ranked[rank]) for rank in ranks])
    yield chunk(HEAD, {"nodes": nodes, "layers": layers_of(neurons)})


def keys_of(text: str) -> list[str]:
    """The words of a text as they are looked for: without accents, in small letters; the script does the same.

    >>> keys_of("An Émigré's ship")
    ['an', 'emigre', 's', 'ship']
    """
    plain = folded(text)
    words = sorted(set(filter(None, _BETWEEN.split(plain))))
    return words or [plain.strip()]


def folded(text: str) -> str:
    """Small letters without marks."""
    apart = unicodedata.normalize("NFKD", text.lower())
    return "".join(letter for letter in apart if unicodedata.category(letter)[0] != "M")


def node_name(prefix: str) -> str:
    """The chunk of a node, safe for any letters."""
    return f"search/{prefix.encode(errors='surrogatepass').hex() or 'all'}"


class _Key(NamedTuple):
    text: str
    rank: int
    """Of its entry."""
    only: bool
    """Whether the entry has no other."""


_Node = tuple[str, list[int], bool]


def _keys(rank: int, entry: Entry) -> list[_Key]:
    texts = keys_of(entry.text)
    return [_Key(text, rank, len(texts) == 1) for text in texts]


def _nodes(prefix: str, keys: Sequence[_Key]) -> Iterator[_Node]:
    """Every node below a prefix: its prefix, the entries that it holds, and whether these are all."""
    ranks = sorted({key.rank for key in keys})
    if len(ranks) <= LEAF:
        yield prefix, ranks, True
        return
    if prefix:
        exact = {key.rank for key in keys if key.only and key.text == prefix}
        ranks.sort(key=lambda rank: (rank not in exact, rank))
        yield prefix, ranks[:SHOWN], False
    if len(prefix) < DEEP:
        at = len(prefix)
        for letter, own in groupby(keys, lambda key: key.text[at : at + 1]):
            if letter:
                yield from _nodes(prefix + letter, list(own))


def _row(entry: Entry) -> list[Any]:
    return [entry.kind, entry.text, entry.address, entry.count, entry.neurons]
