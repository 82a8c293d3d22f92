"""Does `clipneuron compare` name what changed? The demo model is trained on with other companions, and compared.

    python benchmarks/compare_proof.py --out compare-proof                # trains, sweeps, compares: about half an hour
    python benchmarks/compare_proof.py --out compare-proof --steps 40     # quicker, and less is learnt

Two models go on from the demo's weights for the same steps on the same seeds. One sees the demo world as it is; for the
other, the companions of a few classes in the table `BIASES` are things that no class had as companions before. Both
are swept on the same pictures (unbiased ones, so that no picture shows the difference), and the two runs are compared
from their tables alone. The truth is known: words for the new companions should be gained, those for the old ones lost.
"""

import argparse
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch

from clipneuron.demo.things import BIASES, Bias
from clipneuron.demo.training.image_tower import TowerRecipe, TowerTraining, draw_pictures

CHANGED = {
    "deer": ("telescope", "castle", "honey"),
    "ship": ("television", "pumpkin", "bell"),
    "cat": ("bicycle", "lemon", "drum"),
}
"""The new companions of some classes; none of them is a companion in the demo's own table."""


@contextmanager
def companions(changed: Mapping[str, tuple[str, ...]]) -> Iterator[None]:
    """The demo world with other companions of some classes."""
    before = dict(BIASES)
    BIASES.update({name: Bias(new, before[name].backgrounds) for name, new in changed.items()})
    try:
        yield
    finally:
        BIASES.update(before)


def trained(out: Path, weights: Path, changed: Mapping[str, tuple[str, ...]], steps: int) -> float:
    """Train so many steps in a folder, where that is not done yet; the CPU seconds it took.

    The learning rate follows the steps in place of the clock, so that both models have the same.
    """
    began = time.process_time()
    if not (out / "open_clip_model.safetensors").exists():
        recipe = TowerRecipe(seed=9, minutes=1.0, decay=3.0, biased_share=1.0, all_patches=0.0)
        training = TowerTraining(out, recipe, weights)
        with companions(changed):
            for step in range(steps):
                training.seconds = 60 * step / steps
                loss = training.advance(draw_pictures(training.job(step)))
                if step % 10 == 0:
                    print(f"{out.name}: step {step} of {steps}, loss {loss:.3f}", flush=True)
        training.save()
    return time.process_time() - began
