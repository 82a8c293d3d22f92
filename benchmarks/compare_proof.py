"""Does `clipneuron compare` name what changed? The demo model is trained on with other companions, and compared.

    python benchmarks/compare_proof.py --out compare-proof                # trains, sweeps, compares: about half an hour
    python benchmarks/compare_proof.py --out compare-proof --steps 40     # quicker, and less is learnt

Two models go on from the demo's weights for the same steps on the same seeds. One sees the demo world as it is; for the
other, the companions of a few classes in the table `BIASES` are things that no class had as companions before. Both
are swept on the same pictures (unbiased ones, so that no picture shows the difference), and the two runs are compared
from their tables alone. The truth is known: words for the new companions should be gained, those for the old ones lost.
"""

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from clipneuron import demo
from clipneuron.cli import main as main_of
from clipneuron.demo.collection import write_collection
from clipneuron.demo.things import BIASES, THINGS, Bias
from clipneuron.demo.training.image_tower import TowerRecipe, TowerTraining, draw_pictures
from clipneuron.operations.compare.comparison import Comparison
from clipneuron.operations.compare.sides import Side
from clipneuron.operations.compare.summary import overall
from clipneuron.operations.compare.words import noise_floor
from clipneuron.store.store import Store

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


def swept(folder: Path, name: str, pictures: Path, layers: str) -> Side:
    """A trained model swept on the pictures, in this process; raises RuntimeError where that fails."""
    store = folder / "runs"
    words = ["run", "--recipe", "demo", "--model", str(folder / name), "--name", name]
    words += ["--images", str(pictures), "--limit", "0", "--top", "20", "--layers", layers]
    if clipneuron(["--engine", "in-process", "--store", str(store)], words):
        raise RuntimeError(f"the sweep of {name} failed")
    return Side.of(Store(store).find_run(f"{name}-"))


def clipneuron(where: list[str], words: list[str]) -> int:
    """The exit status of a command whose output goes to standard error."""
    with contextlib.redirect_stdout(sys.stderr):
        return main_of([*words, *where])


def above(values: Sequence[float], others: Sequence[float]) -> float:
    """How often one of the values is above one of the others, ties as a half: 0.5 by chance, 1 at best."""
    one, other = np.array(values)[:, None], np.array(others)[None]
    return float(np.mean((one > other) + 0.5 * (one == other)))


def findings(found: Comparison) -> Iterator[str]:
    """What the comparison says of the companions that were changed, line by line."""
    new = [name for companions in CHANGED.values() for name in companions]
    old = [name for owner in CHANGED for name in BIASES[owner].things]
    net = dict.fromkeys((thing.name for thing in THINGS), 0)
    ranked = found.words.by_word()
    for change in ranked:
        if change.word[1:] in net:
            net[change.word[1:]] += change.net
    rest = [count for name, count in net.items() if name not in (*new, *old)]
    total = overall(found)
    yield (
        f"{total.neurons:,} neurons: median cosine {total.cosines[3]:.3f}, {total.below:.1%} below 0.9, "
        f"{total.words_changed:.1%} gained or lost a word"
    )
    for what, names, sign in (("new", new, 1), ("old", old, -1)):
        counts = [net[name] for name in names]
        listed = ", ".join(
            f"{name} {net[name]:+d}" for name in sorted(names, key=lambda name: -sign * net[name])
        )
        auc = above([sign * one for one in counts], [sign * one for one in rest])
        yield f"{what} companions, neurons more or fewer: {listed}"
        yield f"  sum {sum(counts):+d}; ahead of an unchanged thing in {auc:.0%} of pairs (50 % by chance)"
    yield f"unchanged things: {len(rest)}, sum {sum(rest):+d}, from {min(rest):+d} to {max(rest):+d}"
    floor = noise_floor(len(ranked))
    above_it = [one for one in ranked if abs(one.z) > floor]
    yield f"{len(above_it)} of {len(ranked):,} words moved by more than noise, |z| above {floor:.2f}"
    z = dict.fromkeys(net, 0.0)
    z |= {one.word[1:]: one.z for one in ranked if one.word[0] == "+" and one.word[1:] in net}
    changed = [z[name] for name in new] + [-z[name] for name in old]
    others = [sign * z[name] for name in net if name not in (*new, *old) for sign in (1, -1)]
    yield f"  by z, changed companions are ahead of unchanged things in {above(changed, others):.0%} of pairs"
    first = [f"{one.word} {one.net:+d} (z {one.z:+.1f})" for one in ranked[:20]]
    yield f"the 20 words that compare lists first: {', '.join(first)}"
    hits = sum(one.word[1:] in (*new, *old) for one in ranked[:20])
    yield f"  {hits} of them are changed companions, where {20 * len(new + old) / len(net):.1f} would be by chance"
    yield neurons_named(found, new, old)


def neurons_named(found: Comparison, new: Sequence[str], old: Sequence[str]) -> str:
    """How far ahead the neurons stand whose words the change is about, among all by how much they changed."""
    place = np.empty(len(found.order))
    place[found.order] = -np.arange(len(found.order))
    about = np.zeros(len(place), dtype=bool)
    for side, names in ((found.words.a, old), (found.words.b, new)):
        codes = [code for code, word in enumerate(found.words.words) if word[1:] in names]
        about[side.row[np.isin(side.code, codes)]] = True
    auc = above(place[about].tolist(), place[~about].tolist())
    return (
        f"neurons with an old companion in A or a new one in B: {about.sum()}; listed ahead of another neuron in "
        f"{auc:.0%} of pairs (50 % by chance)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder; what is there already is not done again"
    )
    parser.add_argument("--steps", type=int, default=160)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--layers", default="0-8")
    chosen = parser.parse_args()
    weights, pictures = Path(demo.__file__).parent / "weights", chosen.out / "pictures"
    if not pictures.exists():
        write_collection(pictures, chosen.pictures, seed=0, biased=False)
    sides = []
    for name, changed in (("same", {}), ("changed", CHANGED)):
        seconds = trained(chosen.out / name, weights, changed, chosen.steps)
        sides.append(swept(chosen.out, name, pictures, chosen.layers))
        print(f"{name}: trained in {seconds:.0f} CPU s, swept {sides[-1].name}", flush=True)
    print("\n".join(findings(Comparison.of(*sides))))


if __name__ == "__main__":
    main()
