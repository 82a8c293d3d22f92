"""Seconds that the scores of all describers take for a layer, given what its neurons write on pictures.

    python benchmarks/truth.py --neurons 3072 --images 10000

Half of the pictures are scored. Words are true of 2 % of them; there are six describers of four words each.
"""

import argparse
import time

import torch
from machine import describe

from clipneuron.lens.words.truth import Ranking, Truth, Words, scores
from clipneuron.readers.explanation import BLOCK


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--neurons", type=int, default=3072)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--texts", type=int, default=3000)
    parser.add_argument("--describers", type=int, default=6)
    parser.add_argument("--true", type=float, default=0.02)
    chosen = parser.parse_args()
    print(describe())
    dice = torch.Generator().manual_seed(0)
    images = chosen.images // 2
    holds = torch.rand(chosen.texts, images, generator=dice) < chosen.true
    truth = Truth(holds.float(), holds)
    ranked = scored = 0.0
    for first in range(0, chosen.neurons, BLOCK):
        neurons = min(BLOCK, chosen.neurons - first)
        written = torch.randn(neurons, images, generator=dice)
        start = time.perf_counter()
        ranking = Ranking(written)
        ranked += time.perf_counter() - start
        for _ in range(chosen.describers):
            indices = torch.randint(0, chosen.texts, (neurons, 4), generator=dice)
            words = Words(indices, torch.randn(neurons, 4, generator=dice))
            start = time.perf_counter()
            scores(ranking, words, truth, 0.02)
            scored += time.perf_counter() - start
    print(f"| neurons | pictures scored | sort | {chosen.describers} describers | together |")
    print("|---|---|---|---|---|")
    total = ranked + scored
    print(f"| {chosen.neurons:,} | {images:,} | {ranked:.1f} s | {scored:.1f} s | {total:.1f} s |")


if __name__ == "__main__":
    main()
