"""How much of what neurons are known to write the sweep finds, on towers whose weights are set by hand.

    python benchmarks/known_truth.py                       # 600 pictures, two seeds, about a minute on one core
    python benchmarks/known_truth.py --pictures 2000 --seeds 5

The world is that of tests/samples/planted.py: 40 of 128 neurons are given sums of one or several of 300 texts, signs
included; the others are distractors. Each table changes one thing: the strength of a head that turns effects by the
pictures' noise, the number of texts in the pool, and the number of things and words of a neuron, the latter two at an
interference of 0.6, where words begin to be lost. "words" is the share
of a neuron's own words among as many strongest of its description, "signs" of those with their signs, "order" of those
in their places too, "others" the words when descriptions are exchanged between neurons; "PC 1" is the share of variance
that directions explain. Means over the planted neurons; the last table's are over its ten neurons of several things.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from machine import describe
from numpy.typing import NDArray

from clipneuron.data.text_pools import open_pool
from clipneuron.sweep.neurons import neuron_cards

# Before site-packages, in which another project may have installed its own `tests`.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.samples.planted import planted_world, recovery, swept

POOL, CONCEPTS, INTERFERENCE = 300, 3, 0.6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    print(describe())
    print(f"{arguments.pictures} pictures, means over {arguments.seeds} seeds")

    def table(name: str, values: Sequence[float], found: Callable[[float, int], Row]) -> None:
        print(f"\n{name:>20} {'words':>7} {'signs':>7} {'order':>7} {'others':>7} {'PC 1':>7}")
        for value in values:
            means = np.mean([found(value, seed) for seed in range(arguments.seeds)], axis=0)
            print(f"{value:>20} " + " ".join(f"{mean:7.1%}" for mean in means))

    count = arguments.pictures
    table("interference", (0, 0.3, 0.5, 0.7, 1, 1.5, 2), lambda x, seed: row(count, seed, x))
    table(
        "texts in the pool",
        (100, 300, 1000, 3000, 10000),
        lambda x, seed: row(count, seed, pool=int(x)),
    )
    table(
        "words of a neuron", (1, 2, 3, 4, 6, 8), lambda x, seed: row(count, seed, concepts=int(x))
    )


Row = NDArray[np.float64]


def row(
    pictures: int,
    seed: int,
    interference: float = INTERFERENCE,
    pool: int = POOL,
    concepts: int | None = None,
) -> Row:
    """Words, signs, order, words of others and PC 1 of a world."""
    texts = open_pool(f"words-{pool}").texts
    options = {"interference": interference, "concepts": concepts or CONCEPTS}
    world = planted_world(texts, **options, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        sweep, run, _ = swept(world, Path(folder), pictures)
        everyone = range(len(world.planted))
        cards = neuron_cards(run, sweep.results(run), 0, everyone)
    kinds = {plan.kind for plan in world.planted} if concepts is None else {"several"}
    asked = [neuron for neuron in everyone if world.planted[neuron].kind in kinds]
    own = [recovery(world.planted[n], cards[n].words) for n in asked]
    shifted = [recovery(world.planted[n], cards[(n + 13) % len(cards)].words).words for n in asked]
    explained = [cards[n].explained_variance for n in asked]
    return np.array([*np.mean(own, axis=0), np.mean(shifted), np.mean(explained)])


if __name__ == "__main__":
    main()
