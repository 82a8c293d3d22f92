"""Top pictures that the shards of a sweep keep, and what their summaries take: `python benchmarks/summaries.py`.

Simulated: a neuron's norms are log-normal, with a part that all pictures of a class share (`classes`, its share of the
variance of the logarithm) and a part of each picture. Pictures are in random order, or sorted by class as ImageNet's
folders are. The shards, their waves and the tree that merges them are those of a sweep of ImageNet in shards of 2,048.
Bytes: a top picture of a neuron takes 4 bytes per path and 12 for its norm and number, uncompressed; `FIXED` is what a
row has beside them. What is left unused is taken to cost nothing, since it is zeros.
"""

import numpy as np

from clipneuron.engine.stage import Shard
from clipneuron.sweep.trees import FAN_IN
from clipneuron.sweep.waves import kept, waves

PICTURES, SIZE, CLASSES, TOP = 1_281_167, 2048, 1000, 100
NEURONS, LAYERS, PATHS = 3072, 11, 792
FIXED = 300
"""Bytes of a row's sums and histogram, compressed: 64 bins that are in use, and an upper bound."""


def norms(dice: np.random.Generator, share: float, is_sorted: bool) -> np.ndarray:
    """One neuron's norms, picture after picture."""
    classes = np.arange(PICTURES) * CLASSES // PICTURES
    of_class = dice.normal(size=CLASSES)[classes if is_sorted else dice.permutation(classes)]
    values = np.sqrt(share) * of_class + np.sqrt(1 - share) * dice.normal(size=PICTURES)
    return np.exp(values).astype(np.float32)


def rows(values: np.ndarray) -> tuple[int, int]:
    """Top pictures that all shards keep of a neuron, and those that all levels of the tree do."""
    cuts = range(0, PICTURES, SIZE)
    shards = [Shard(f"{n:08d}", min(SIZE, PICTURES - start)) for n, start in enumerate(cuts)]
    found: dict[str, np.ndarray] = {}
    for wave in waves([shards]):
        before = np.sort(np.concatenate([*found.values(), np.empty(0, np.float32)]))
        bound = before[-TOP] if len(before) >= TOP else -np.inf
        for shard in wave.shards:
            own = values[int(shard.name) * SIZE :][:SIZE]
            found[shard.name] = np.sort(own[own > bound])[-TOP:]
    level, merged = [found[shard.name] for shard in shards], 0
    while len(level) > FAN_IN:
        groups = [level[n : n + FAN_IN] for n in range(0, len(level), FAN_IN)]
        level = [np.sort(np.concatenate(group))[-TOP:] for group in groups]
        merged += sum(map(len, level))
    return sum(map(len, found.values())), merged


def gigabytes(count: float, shards: int) -> float:
    """Of all neurons of ViT-B-32."""
    each = NEURONS * (4 * PATHS + 12 * LAYERS)
    return (count * each + shards * NEURONS * LAYERS * FIXED) / 1e9


def main() -> None:
    """A row per kind of collection; means of 10 neurons."""
    dice, shards = np.random.default_rng(0), -(-PICTURES // SIZE)
    print(
        "| order | variance by class | rows of shards | of the tree | GB of shards | GB of the tree |"
    )
    print("|---|---|---|---|---|---|")
    full = shards * TOP
    print(
        f"| any, all kept | - | {full:,} | 4,300 | {gigabytes(full, shards):.0f} | {gigabytes(4300, 43):.0f} |"
    )
    for is_sorted, share in ((False, 0.5), (True, 0.1), (True, 0.5), (True, 0.9)):
        own, merged = np.mean([rows(norms(dice, share, is_sorted)) for _ in range(10)], axis=0)
        order = "by class" if is_sorted else "random"
        sizes = f"{gigabytes(own, shards):.0f} | {gigabytes(merged, 43):.0f}"
        print(f"| {order} | {share:.0%} | {own:,.0f} | {merged:,.0f} | {sizes} |")
    print(f"\nexpected in random order: {kept(PICTURES, shards, TOP):,.0f} rows of shards")


if __name__ == "__main__":
    main()
