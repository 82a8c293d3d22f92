"""Which experiment a row of the attack's tables is of: names of shards and pictures, and the seeds of its dice."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

Method = Literal["second-order", "second-order-paper", "random", "indirect", "similar"]
"""How the words are found: by the neurons' words, by Eq. 6 with their long descriptions, and by Table 3's baselines."""

METHODS: tuple[Method, ...] = get_args(Method)

Pair = tuple[str, str]
"""c1, which is in the picture, and c2, what it is to be taken for."""


def pair_name(pair: Pair) -> str:
    """c1:c2, as the tables have it."""
    return ":".join(pair)


def pair_key(pair: Pair) -> str:
    """The name of a pair's shard: "horse-automobile"; different pairs have different keys."""
    return "-".join(map(_slug, pair))


def seed_of(*parts: str | int) -> int:
    """A seed below 2^31, which every random generator takes, from what it is for."""
    digest = hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode()).digest()
    return int.from_bytes(digest[:4]) >> 1


@dataclass(frozen=True, order=True)
class Experiment:
    """One repetition of one method on one pair: as many pictures as one number of Table 3 counts."""

    pair: Pair
    method: str
    repeat: int

    @property
    def key(self) -> str:
        """The name of its shard: "horse-automobile-second-order-00"."""
        return f"{pair_key(self.pair)}-{self.method}-{self.repeat:02d}"

    @property
    def columns(self) -> dict[str, str | int]:
        """What its rows have in the columns that say which experiment they are of."""
        return {"pair": pair_name(self.pair), "method": self.method, "repeat": self.repeat}

    @property
    def filters(self) -> list[tuple[str, str, str | int]]:
        """The experiment as a filter on tables."""
        return [(name, "==", value) for name, value in self.columns.items()]

    def picture(self, caption: int, copy: int) -> str:
        """The id of one of the pictures of a caption: "horse:automobile/second-order/0/7-3"."""
        return f"{pair_name(self.pair)}/{self.method}/{self.repeat}/{caption}-{copy}"

    def seed(self, *more: str | int) -> int:
        """A seed for a part of the experiment."""
        return seed_of(*self.pair, self.method, self.repeat, *more)


def experiments(
    pairs: Sequence[Pair], methods: Sequence[str] = METHODS, repeats: int = 3
) -> tuple[Experiment, ...]:
    """All experiments, pair after pair; ValueError for methods or repeats that there can't be."""
    unknown = [method for method in methods if method not in METHODS]
    if unknown or not methods or repeats < 1:
        raise ValueError(
            f"expected methods among {', '.join(METHODS)} and at least 1 repeat, got "
            f"{', '.join(methods) or 'no method'} and {repeats}"
        )
    return tuple(
        Experiment(pair, method, repeat)
        for pair in pairs
        for method in methods
        for repeat in range(repeats)
    )


def _slug(name: str) -> str:
    """The name as a part of a key; where that loses something, a digest of the name tells it apart."""
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    if plain.replace("_", " ") == name:
        return plain
    return f"{plain or 'class'}.{hashlib.sha256(name.encode()).hexdigest()[:6]}"
