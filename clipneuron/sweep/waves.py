"""In which order the shards of a large sweep are done, so that later ones need not keep what earlier ones have beaten.

The sweep keeps, of every neuron, the pictures of greatest effect. Once a first wave of shards is committed, each
neuron has as many of them as are kept in the end, and a picture below the least of these cannot be among the final
ones, whatever follows. Which shards are in which wave, and which ones a wave looks at, depends on the plan alone, and
for a part of the plan not on parts that were added later: its results stay what they are without them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

from clipneuron.engine.stage import Shard

ENDS = (1 << 14, 1 << 17)
"""Pictures after which a wave ends; the last wave has the rest. A collection within the first is done as ever."""

_STEP = 2654435769
"""2^32 over the golden ratio: multiples of it, modulo 2^32, fall evenly whatever their number."""


@dataclass(frozen=True)
class Wave:
    """Shards that can be done side by side, and those before them whose top pictures theirs have to beat."""

    shards: tuple[Shard, ...]
    before: tuple[str, ...]


def waves(parts: Sequence[Sequence[Shard]], ends: Sequence[int] = ENDS) -> list[Wave]:
    """The shards of a plan's parts in waves, part after part; a part that is added changes nothing for earlier ones.

    The first waves are spread evenly over each part: collections are often sorted by class, and what a few classes
    leave is a poor bound for the others. Within a wave, shards are in the order of the plan.
    """
    found: list[Wave] = []
    earlier: list[tuple[str, ...]] = [()] * (len(ends) + 1)
    total = 0
    for part in parts:
        numbers: dict[str, int] = {}
        for shard in _spread(part):
            numbers[shard.name] = sum(total >= end for end in ends)
            total += shard.rows
        for number in sorted(set(numbers.values())):
            own = tuple(shard for shard in part if numbers[shard.name] == number)
            before = tuple(name for names in earlier[:number] for name in names)
            if found and found[-1].before == before:
                found[-1] = Wave((*found[-1].shards, *own), before)
            else:
                found.append(Wave(own, before))
            earlier[number] += tuple(shard.name for shard in own)
    return found


def kept(pictures: int, shards: int, top: int, ends: Sequence[int] = ENDS) -> float:
    """Top pictures of a neuron that the shards of a collection in random order keep together, by expectation.

    Of pictures in random order, a share top / seen exceeds the least of the top that were seen before. In the tree that
    merges them, and for a sorted collection, see `benchmarks/summaries.py`.

    >>> kept(5_000, 3, 100)
    300.0
    >>> round(kept(1_281_167, 626, 100))
    2378
    """
    if not pictures:
        return 0.0
    size = pictures / shards
    total = 0.0
    for seen, end in pairwise(_bounds(pictures, ends)):
        most = min(top, size)
        share = min(most, size * top / seen) if seen else most
        total += share * (end - seen) / size
    return total


def sizes(pictures: int, size: int, ends: Sequence[int] = ENDS) -> list[int]:
    """The shards of each wave of a collection in shards of `size` pictures, up to one: the last one may be small.

    >>> sizes(1_281_167, 2048), sizes(5_000, 2048)
    ([8, 56, 562], [3])
    """
    until = [ceil(bound / size) for bound in _bounds(pictures, ends)]
    return [after - before for before, after in pairwise(until)]


def _bounds(pictures: int, ends: Sequence[int]) -> list[int]:
    """Pictures that were seen before each wave, and all."""
    return [0, *(end for end in ends if end < pictures), pictures]


def _spread(part: Sequence[Shard]) -> list[Shard]:
    order = sorted(range(len(part)), key=lambda place: place * _STEP % (1 << 32))
    return [part[place] for place in order]
