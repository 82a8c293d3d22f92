"""Which neuron of B is nearest to each neuron of A, wherever both are: by direction, or by norms on pictures."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from clipneuron.operations.compare.arrays import Matrix, matrix, unit
from clipneuron.operations.compare.layers import directions
from clipneuron.operations.compare.match.spaces import Spaces, joint_spaces
from clipneuron.operations.compare.pictures import CommonPictures, common_pictures
from clipneuron.operations.compare.sides import Ints, Side

By = Literal["direction", "norms"]
LEAST = 20
"""Common pictures without which a correlation of norms says nothing."""
MOST = 2000
"""Pictures that norms are correlated over, evenly spaced among the common ones: errors are below 0.03 then."""
_BLOCK = 512
_EFFECTS = "effects"

Advance = Callable[[int], None]


class Features(NamedTuple):
    """A unit row per neuron, whose products are similarities."""

    keys: Ints
    rows: Matrix


@dataclass(frozen=True)
class Matches:
    """The best match of every neuron of A."""

    by: By
    table: pa.Table
    """layer_a, neuron_a, layer_b, neuron_b, similarity, second (that of the runner-up), mutual."""
    unmatched: int
    """Neurons of B that are nobody's best match."""


def matches(
    a: Side, b: Side, asked: tuple[By, ...], advance: Advance
) -> tuple[list[Matches], list[str]]:
    """The matches by each way that is possible, and why another one is not; `advance` gets neurons of A.

    Raises ValueError where none of the ways is possible.
    """
    found, notes = [], []
    spaces, pictures = joint_spaces(a, b), common_pictures(a, b)
    if "direction" in asked:
        if spaces.agree:
            found.append(best("direction", _directions(a), _directions(b), advance))
        else:
            notes.append(_no_directions(spaces))
    if "norms" in asked:
        indices = _numbers(a, b, pictures)
        if len(indices[0]) >= LEAST:
            found.append(best("norms", _norms(a, indices[0]), _norms(b, indices[1]), advance))
        else:
            notes.append(_no_norms(len(indices[0])))
    if not found:
        raise ValueError(f"{a.name} and {b.name} cannot be matched: {'; '.join(notes)}")
    return found, notes


def best(by: By, a: Features, b: Features, advance: Advance = lambda neurons: None) -> Matches:
    """Every neuron of A with its best match in B, by blocks of A's neurons against all of B's.

    Directions are axes: of their cosines the size counts.
    """
    count = len(a.keys)
    place, first, second = np.zeros(count, dtype=np.int64), np.zeros(count), np.zeros(count)
    nearest, reached = np.zeros(len(b.keys), dtype=np.int64), np.full(len(b.keys), -np.inf)
    for rows in _blocks(count):
        products = a.rows[rows] @ b.rows.T
        if by == "direction":
            np.abs(products, out=products)
        _improve(nearest, reached, products, rows.start)
        place[rows] = products.argmax(1)
        each = np.arange(len(products))
        first[rows] = products[each, place[rows]]
        products[each, place[rows]] = -np.inf
        second[rows] = products.max(1) if products.shape[1] > 1 else np.nan
        advance(len(products))
    columns = {
        **_places(a.keys, "a"),
        **_places(b.keys[place], "b"),
        "similarity": first,
        "second": second,
        "mutual": nearest[place] == np.arange(count),
    }
    return Matches(by, pa.table(columns), len(b.keys) - len(np.unique(place)))


def _improve(nearest: Ints, reached: NDArray[np.float64], products: Matrix, start: int) -> None:
    """Note for every neuron of B whether one of these rows of A is nearer than those before."""
    best = products.argmax(0)
    values = products[best, np.arange(products.shape[1])]
    better = values > reached
    nearest[better], reached[better] = best[better] + start, values[better]


def _blocks(count: int) -> Iterator[slice]:
    for first in range(0, count, _BLOCK):
        yield slice(first, min(first + _BLOCK, count))


def _places(keys: Ints, side: str) -> dict[str, NDArray[np.int32]]:
    layer, neuron = (keys >> 32).astype(np.int32), (keys & 0xFFFFFFFF).astype(np.int32)
    return {f"layer_{side}": layer, f"neuron_{side}": neuron}


def _directions(side: Side) -> Features:
    parts = [directions(side, layer) for layer in side.layers]
    return _speaking(side.neurons.keys, np.concatenate(parts))


def _norms(side: Side, pictures: Ints) -> Features:
    """What each neuron's norms on these pictures, by number, differ from their mean by, at unit length."""
    names = [f"layer_{layer}" for layer in side.layers]
    keys, order = side.neurons.keys, np.argsort(pictures)
    values = np.zeros((len(pictures), len(keys)), dtype=np.float32)
    for _, shard in side.run.scan(_EFFECTS, "norms", columns=["index", "status", *names]):
        index = shard["index"].to_numpy()
        row = np.searchsorted(pictures, index, sorter=order).clip(max=len(pictures) - 1)
        wanted = (pictures[order[row]] == index) & _usable(shard)
        chosen = pa.array(np.flatnonzero(wanted))
        parts = [matrix(shard[name].take(chosen)) for name in names]
        values[order[row[wanted]]] = np.concatenate(parts, axis=1)
    values -= values.mean(0)
    return _speaking(keys, unit(values.T))


def _speaking(keys: Ints, rows: Matrix) -> Features:
    """Without the neurons that have nothing to be matched by."""
    known = rows.any(1)
    return Features(keys[known], rows[known])


def _numbers(a: Side, b: Side, pictures: CommonPictures | None) -> tuple[Ints, Ints]:
    """The numbers in A and in B of at most `MOST` pictures that both could use, one picture at each place."""
    nothing = np.empty(0, dtype=np.int64)
    if pictures is None or not all(side.run.done(_EFFECTS) for side in (a, b)):
        return nothing, nothing
    in_a, in_b = (_usable_pictures(side) for side in (a, b))
    mapped = pictures.numbers(in_b)
    both = np.flatnonzero(np.isin(mapped, in_a))
    some = both[np.linspace(0, len(both) - 1, min(len(both), MOST)).astype(np.int64)]
    return mapped[some], in_b[some]


def _usable_pictures(side: Side) -> Ints:
    parts = []
    for _, shard in side.run.scan(_EFFECTS, "norms", columns=["index", "status"]):
        parts.append(shard["index"].to_numpy()[_usable(shard)])
    return np.unique(np.concatenate(parts))


def _usable(shard: pa.Table) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = pc.equal(shard["status"], "ok").to_numpy()
    return found


def _no_directions(spaces: Spaces) -> str:
    return f"not by direction, since the joint spaces differ ({spaces.why})"


def _no_norms(common: int) -> str:
    return (
        f"not by norms, since {common} usable pictures are in both runs and {LEAST} are needed: sweep the same "
        "pictures with both models"
    )
