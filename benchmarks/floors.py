"""The short benchmarks, each as ratios within this run, held against bars: `make bench`. Fails below them.

    python benchmarks/floors.py                         # all, about six minutes of a fast core
    python benchmarks/floors.py --only pursuit decode
    python benchmarks/floors.py --list                  # the parts

Ratios are of core-seconds, the least of several turns of either side, so that a machine with other work on it does not
fail them wrongly; a part whose bars are missed is measured once more before it counts. Bars are what was reached on two
cores of an Intel Xeon at 2.5 GHz, with a margin: a change that makes one fail has made the product slower, or the
libraries have. "floor" is the same ratio for the matrix products, or library calls, that cannot be left out.
"""

import argparse
import subprocess
import sys
import tempfile
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from bars import Bar, judged

HERE = Path(__file__).resolve().parents[1]


def kernel() -> list[Bar]:
    """Norms of the late three layers and of all, in forward passes: ViT-B-32's shape, random weights."""
    import open_clip
    import torch
    from effects import LAYERS, measured

    from clipneuron import load_clip
    from clipneuron.models.allocation import keep_freed_memory

    keep_freed_memory()  # as workers do
    clip = load_clip(open_clip.create_model("ViT-B-32", pretrained=None))
    pixels, bars = torch.randn(64, 3, *clip.image_size), []
    for name, bound in (("layers 8-10", 1.04), ("all layers", 1.25)):
        cost = measured(clip, pixels, LAYERS[name], "equal", repeats=4)
        floor = f"{cost.products / cost.plain:.2f}: capture and products"
        what = f"{name}, equal split, in forward passes"
        bars.append(Bar(what, cost.whole / cost.plain, "at most", bound, floor))
    return bars


def pursuit() -> list[Bar]:
    """Matching pursuit against scikit-learn's, and in matrix products that score all texts in float32.

    How much slower scikit-learn is depends on the processor: it reads the pool for each neuron, 61 MB, which some
    caches hold and others do not.
    """
    from pursuit import compared, problem

    options = Namespace(
        texts=30_000, embed=512, cone=0.0, neurons=256, dtype="float32", sklearn=3, block=256,
        atoms=128, repeats=2,
    )  # fmt: skip
    found = compared(*problem(options), options)
    floor = f"{found.theirs / found.products:.1f}: matrix products"
    times, products = found.theirs / found.ours, found.ours / found.exact
    return [
        Bar("pursuit, times as fast as scikit-learn", times, "at least", 10, floor),
        Bar("pursuit, in matrix products in float32", products, "at most", 1.6),
        Bar("pursuit, share of equal supports", found.same / found.of, "at least", 1),
    ]


def directions() -> list[Bar]:
    """First directions of a block of neurons against numpy's SVD of their effects."""
    import open_clip
    import torch
    from directions import centred
    from numpy.linalg import svd
    from timing import least

    from clipneuron import SecondOrderLens, load_clip
    from clipneuron.lens.directions import first_directions

    clip = load_clip(open_clip.create_model("ViT-B-32", pretrained=None))
    lens = SecondOrderLens(clip, 9)
    with torch.inference_mode():
        coefficients, remainders, axes = centred(clip, lens, 100)
        basis, mine = lens.basis(slice(0, 64)), coefficients[:, :64].transpose(0, 1)
        shared = remainders.expand(64, -1, -1)
        effects = (mine @ basis + shared @ axes).numpy()
        works: dict[str, Callable[[], object]] = {
            "ours": lambda: first_directions(mine, basis, shared, axes),
            "theirs": lambda: [svd(own, full_matrices=False) for own in effects],
        }
        times = least(works, 3)
    ratio = times["theirs"] / times["ours"]
    return [Bar("directions, times as fast as numpy's SVD", ratio, "at least", 8)]


def decode() -> list[Bar]:
    """From a JPEG to pixels: against open_clip's own transform, and against Pillow's decoder and resize alone."""
    from feed import PARTS, made, parts, ways

    pictures = [made(seed) for seed in range(20)]
    found, steps = ways(pictures, 5), parts(pictures, 5)
    ours, theirs = found["clipneuron"], found["open_clip's transform"]
    least = sum(steps[name] for name in PARTS)
    floor = f"{theirs.seconds / least:.2f}: Pillow's decoder and resize"
    return [
        Bar("decode, times as fast as open_clip's", theirs.seconds / ours.seconds, "at least", 1.05, floor),
        Bar("decode, in Pillow's decoder and resize", ours.seconds / least, "at most", 1.25),
        Bar("decode, values that are not open_clip's", ours.differing, "at most", 0),
    ]  # fmt: skip


def cache() -> list[Bar]:
    """Pixels that are kept, against decoding: the pictures' own bytes are still read and digested."""
    from cache import measured

    costs = measured(64, 3)
    name = "a picture in the cache, times as fast as decoded"
    return [Bar(name, costs.decoded / costs.found, "at least", 4)]


def ray() -> list[Bar]:
    """A sweep through Ray with a store, against a plain loop that throws its tables away."""
    from engines import answers

    found = answers(("plain loop", "Ray, 1 actor"), pictures=300, shard=60)
    (_, loop), (_, through) = found.values()
    ratio = through / loop
    return [Bar("a sweep through Ray, in core-seconds of a plain loop", ratio, "at most", 1.25)]


def start() -> list[Bar]:
    """What a person waits for, in imports of torch."""
    from verbs import core_seconds, least

    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder)
        torch = min(core_seconds([sys.executable, "-c", "import torch"]) for _ in range(3))
        helped = least(HERE, ["--help"], store, 3).seconds
        refused = least(HERE, ["run", "--recipe", "dem"], store, 3).seconds
    return [
        Bar("--help, in imports of torch", helped / torch, "at most", 0.25),
        Bar("a recipe that does not exist, in imports of torch", refused / torch, "at most", 0.25),
    ]


PARTS: dict[str, Callable[[], list[Bar]]] = {
    part.__name__: part for part in (kernel, pursuit, directions, decode, cache, ray, start)
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=tuple(PARTS), metavar="PART")
    parser.add_argument("--list", action="store_true", help="say what the parts are, and end")
    arguments = parser.parse_args()
    if arguments.list:
        for name, part in PARTS.items():
            print(f"{name:12} {(part.__doc__ or '').strip()}")
        return
    show_machine()
    sys.exit(judged([bar for name in arguments.only for bar in twice(PARTS[name])]))


def show_machine() -> None:
    """A line on it, by a process of its own: this one need not import torch to judge."""
    line = "from machine import describe; print(describe())"
    subprocess.run([sys.executable, "-c", line], cwd=HERE / "benchmarks", check=True)


def twice(part: Callable[[], list[Bar]]) -> list[Bar]:
    """The part's bars; measured anew where one is missed."""
    print(f"{part.__name__} ...", flush=True)
    bars = part()
    return bars if all(bar.kept for bar in bars) else part()


if __name__ == "__main__":
    main()
