"""Which way of making words of a direction tells the truth? Scored on pictures that no direction was made of.

    python benchmarks/describers.py --weights WEIGHTS --layers 3 4 5    # a folder of a demo model; scenes of our own
    python benchmarks/describers.py --data DATA --layers 8 9 10         # the real ViT-Tiny of trained_vit.py
    ... --out docs/describers.png                                       # draws what the table says of the pursuit

A way gives every neuron a few words with weights. It is scored on held-out pictures, whose contents are known without
the model: the correlation (Pearson) between what a neuron writes along its direction and what its words say of the
picture, the sum of the weights of those that are true; AUPRC over its base rate, of the pictures of which a word of
positive weight is true; and of the neurons that some one word of the pool explains (a correlation above 0.3), the share
that has this word among its own, with the right sign. The error |r - r_hat| is that of all texts of the way, not of the
words shown. Figures are medians over neurons, but for the share. A second table shows the pursuits of all lengths
together by their largest summand: where truth ends is the bound of the stage `descriptions`.

Directions are those of `clipneuron run`, in --store. DATA is as for trained_vit.py: a photograph's class is the one
that people gave it, true where the head has a class of that very name.
"""

import argparse
import itertools
import math
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from machine import describe
from rich.console import Console
from sklearn.linear_model import lars_path
from sklearn.metrics import average_precision_score
from torch import Tensor
from torch.nn.functional import normalize
from trained_vit import HeadModel

from clipneuron import Clip, load_clip
from clipneuron.config.recipe import Recipe
from clipneuron.demo.collection import scene_seed
from clipneuron.demo.pictures import render
from clipneuron.demo.scenes import sample_scene
from clipneuron.demo.training.batches import truth_table
from clipneuron.engine.runner import Runner
from clipneuron.lens.effects import SecondOrderLens
from clipneuron.lens.pursuit import Solution, solutions
from clipneuron.readers.arrow import tensor
from clipneuron.readers.sweep import prepared_texts
from clipneuron.store.store import Store
from clipneuron.sweep.pipeline import Sweep

LENGTHS = (1, 2, 4, 8, 16, 32, 64, 128)
SHOWN = 4
"""Words that are shown of a longer pursuit, the strongest."""
EXPLAINED = 0.3
"""The correlation with some one word above which a neuron counts as explained by it."""
_BATCH = 50


@dataclass(frozen=True)
class Way:
    """Words of all neurons: weights by text [neuron, text], and how well all texts of the way give the direction."""

    weights: Tensor
    errors: Tensor
    largest: Tensor


@dataclass(frozen=True)
class HeldOut:
    """Pictures that no direction was made of: their pixels in batches, and what is true of them [text, image]."""

    batches: Callable[[], Iterator[Tensor]]
    truth: Callable[[Sequence[str]], np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--weights", type=Path, help="folder of a demo model")
    parser.add_argument("--data", type=Path, help="folder with vit_tiny_in1k/ and photos/")
    parser.add_argument("--layers", type=int, nargs="+", required=True)
    parser.add_argument(
        "--swept", type=int, default=2000, help="pictures that directions are made of"
    )
    parser.add_argument(
        "--held-out", type=int, default=3000, help="pictures that words are scored on"
    )
    parser.add_argument("--preparation", default="unit")
    parser.add_argument("--store", type=Path, help="keeps the sweep; a temporary one by default")
    parser.add_argument("--out", type=Path, help="PNG of the trade-off")
    chosen = parser.parse_args()
    if bool(chosen.weights) == bool(chosen.data):
        parser.error("give either --weights or --data")
    with tempfile.TemporaryDirectory() as folder:
        store = chosen.store or Path(folder)
        store.mkdir(parents=True, exist_ok=True)
        clip, recipe, held_out = (photographs if chosen.data else scenes)(chosen, store)
        print(
            f"{describe()}\n\n    python {shlex.join(['benchmarks/describers.py', *sys.argv[1:]])}"
        )
        found = report(clip, recipe, held_out, Store(store))
    if chosen.out:
        draw(found, chosen.out)


def scenes(chosen: argparse.Namespace, store: Path) -> tuple[Clip, Recipe, HeldOut]:
    """A demo model, and scenes of the repository's own world with other seeds than the sweep's."""
    clip = load_clip(str(chosen.weights), device="cpu")
    drawn = [sample_scene(scene_seed(1, number), biased=True) for number in range(chosen.held_out)]

    def batches() -> Iterator[Tensor]:
        for start in range(0, len(drawn), _BATCH):
            pictures = np.stack([render(scene) for scene in drawn[start : start + _BATCH]])
            yield clip.preprocess.normalize(torch.from_numpy(pictures).permute(0, 3, 1, 2))

    recipe = Recipe(
        name="describers",
        model=str(chosen.weights),
        images="demo",
        limit=chosen.swept,
        top=max(2, chosen.swept // 50),
        pool="demo",
        layers=chosen.layers,
        preparation=chosen.preparation,
        batch_size=64,
        device="cpu",
    )
    return clip, recipe, HeldOut(batches, lambda texts: truth_table(drawn, list(texts)).T)


def spread(photos: pa.Table, most: int) -> pa.Table:
    """At most so many photographs, spread over all: they are sorted by class."""
    return photos.take(pa.array(range(0, len(photos), -(-len(photos) // most))))


def photographs(chosen: argparse.Namespace, store: Path) -> tuple[Clip, Recipe, HeldOut]:
    """The real ViT-Tiny with its head's classes as texts; every second photograph is held out."""
    model = HeadModel(chosen.data / "vit_tiny_in1k")
    clip = load_clip(model, tokenizer=model.tokenize)
    photos = pq.read_table(
        chosen.data / "photos" / "imagen200.parquet", columns=["file", "name", "image"]
    )
    halves = (photos.take(pa.array(range(first, len(photos), 2))) for first in (0, 1))
    swept, kept = (
        spread(half, most)
        for half, most in zip(halves, (chosen.swept, chosen.held_out), strict=True)
    )
    pq.write_table(swept.select(["file", "image"]), store / "swept.parquet")
    (store / "classes.txt").write_text("\n".join(model.names))
    images, names = kept["image"].to_pylist(), np.array(kept["name"].to_pylist())

    def batches() -> Iterator[Tensor]:
        for start in range(0, len(images), _BATCH):
            pixels = [clip.preprocess.decode(data) for data in images[start : start + _BATCH]]
            yield clip.preprocess.normalize(np.stack(pixels))

    recipe = Recipe(
        name="describers",
        model="ViT-Tiny/16 of ImageNet-1k",
        images=str(store / "swept.parquet"),
        pool=str(store / "classes.txt"),
        layers=chosen.layers,
        preparation=chosen.preparation,
        top=max(2, len(swept) // 50),
    )
    return clip, recipe, HeldOut(batches, lambda texts: np.array(texts)[:, None] == names)


@torch.inference_mode()
def report(
    clip: Clip, recipe: Recipe, held_out: HeldOut, store: Store
) -> dict[int, dict[str, list[float]]]:
    """Print a table per layer; its figures by layer and way."""
    sweep = Sweep.of(recipe, store, clip)
    run, _ = sweep.run(Runner(console=Console(file=sys.stderr)), until="directions")
    pool = prepared_texts(run, sweep.texts().name, recipe.preparation)
    texts = torch.from_numpy(pool.matrix.copy())
    truth = torch.from_numpy(held_out.truth(pool.words)).float()
    rows = run.read(run.stage("directions"), "directions").sort_by("neuron")
    directions = {
        layer: tensor(rows.filter(pa.compute.equal(rows["layer"], layer))["direction"])
        for layer in sweep.layers
    }
    written = projections(clip, recipe, held_out, directions)
    print(
        f"\n{len(pool.words)} texts in {texts.shape[1]} dimensions, {truth.shape[1]} held-out pictures"
    )
    return {
        layer: layer_table(layer, directions[layer], texts, written[layer], truth)
        for layer in sweep.layers
    }


def projections(
    clip: Clip, recipe: Recipe, held_out: HeldOut, directions: dict[int, Tensor]
) -> dict[int, Tensor]:
    """What the neurons of each layer write along their directions [image, neuron]."""
    split = recipe.split
    lenses = {layer: SecondOrderLens(clip, layer, split=split) for layer in directions}
    along = {
        layer: torch.einsum("npe,ne->np", lens.basis(), directions[layer])
        for layer, lens in lenses.items()
    }
    found: dict[int, list[Tensor]] = {layer: [] for layer in directions}
    for pixels in held_out.batches():
        trace = clip.trace(pixels)
        for layer, lens in lenses.items():
            linear = torch.einsum("bnp,np->bn", lens.coefficients(trace), along[layer])
            shared = lens.remainders(trace) @ lens.remainder_basis @ directions[layer].T
            found[layer].append(linear + shared)
    return {layer: torch.cat(parts) for layer, parts in found.items()}


def layer_table(
    layer: int, directions: Tensor, texts: Tensor, written: Tensor, truth: Tensor
) -> dict[str, list[float]]:
    """Print the row of every way."""
    judge = Judge.of(written, truth)
    print(
        f"\n## Layer {layer}: {len(directions)} neurons, one word explains "
        f"{judge.explained.float().mean():.0%} of them\n"
    )
    headings = ("way", "words", "correlation", "AUPRC / base", "named", "error", "largest weight")
    print(f"| {' | '.join(headings)} |\n|{'---|' * len(headings)}")
    found, pursuits = {}, []
    for name, way in ways(directions, texts):
        found[name] = judge.figures(way)
        if name.startswith("pursuit of"):
            pursuits.append((way.largest, judge.correlations(way)))
        counts, *others = found[name]
        cells = [f"{counts:.0f}", *(f"{value:.3f}" for value in others)]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    by_largest(*map(torch.cat, zip(*pursuits, strict=True)))
    return found


def by_largest(largest: Tensor, correlations: Tensor) -> None:
    """Print how true the words are of descriptions whose largest summand is so long."""
    edges = torch.tensor([0.0, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, math.inf])
    print("\n| largest summand | descriptions | correlation |\n|---|---|---|")
    for low, high in itertools.pairwise(edges.tolist()):
        own = correlations[(largest > low) & (largest <= high)]
        if len(own):
            print(f"| {low:g} to {high:g} | {len(own):,} | {float(own.median()):.3f} |", flush=True)


def ways(directions: Tensor, texts: Tensor) -> Iterator[tuple[str, Way]]:
    """Every way to make words of directions."""
    lengths = [length for length in LENGTHS if length <= min(texts.shape)]
    found = dict(zip(lengths, solutions(directions, texts, lengths), strict=True))
    for length, solution in found.items():
        name = f"pursuit of {length}"
        yield f"{name}, {SHOWN} strongest" if length > SHOWN else name, shown(solution, texts)
    yield f"{SHOWN} of largest cosine", by_cosine(directions, texts)
    (positive,) = solutions(directions, texts, [SHOWN], nonnegative=True)
    yield f"non-negative pursuit of {SHOWN}", shown(positive, texts)
    yield f"lasso path at {SHOWN}", by_lasso(directions, texts)
    steps = range(1, 17)
    each = solutions(directions, texts, steps)
    for share in (0.25, 0.5):
        yield f"pursuit until {share:.0%} are explained", until(each, texts, share)


def shown(solution: Solution, texts: Tensor) -> Way:
    """The strongest words of a solution; its error is that of all."""
    few = solution.weights.abs().topk(min(SHOWN, solution.weights.shape[1]), dim=1).indices
    indices, weights = solution.indices.gather(1, few), solution.weights.gather(1, few)
    dense = scattered(indices, weights, len(texts))
    return Way(dense, solution.residuals[:, -1], solution.largest)


def scattered(indices: Tensor, weights: Tensor, texts: int) -> Tensor:
    dense = weights.new_zeros(len(weights), texts)
    return dense.scatter_add(1, indices.clamp(min=0), weights)


def by_cosine(directions: Tensor, texts: Tensor) -> Way:
    cosines = directions @ normalize(texts, dim=1).T
    indices = cosines.abs().topk(SHOWN, dim=1).indices
    dense = scattered(indices, cosines.gather(1, indices), len(texts))
    return summed(dense, directions, texts)


def by_lasso(directions: Tensor, texts: Tensor) -> Way:
    """The weights of the lasso path (LARS) at the last knot with so many texts."""
    dense, columns = torch.zeros(len(directions), len(texts)), texts.double().numpy().T
    for neuron, direction in enumerate(directions.double().numpy()):
        _, _, path = lars_path(columns, direction, method="lasso", max_iter=4 * SHOWN)
        counts = (path != 0).sum(0)
        (fitting,) = np.nonzero(counts <= SHOWN)
        dense[neuron] = torch.from_numpy(path[:, fitting[-1]])
    return summed(dense, directions, texts)


def summed(dense: Tensor, directions: Tensor, texts: Tensor) -> Way:
    """Words whose sum is all that there is of the direction."""
    return Way(dense, (directions - dense @ texts).norm(dim=1), dense.abs().amax(dim=1))


def until(each: Sequence[Solution], texts: Tensor, share: float) -> Way:
    """Of every neuron the shortest solution that explains this share of |r|^2, the longest if none does."""
    left = torch.stack([solution.residuals[:, -1] for solution in each]).square()
    enough = left <= (1 - share)
    enough[-1] = True
    first = enough.int().argmax(dim=0)
    dense = torch.stack([scattered(s.indices, s.weights, len(texts)) for s in each])
    neurons = torch.arange(len(first))
    own = dense[first, neurons]
    return Way(own, left.sqrt()[first, neurons], own.abs().amax(dim=1))


@dataclass(frozen=True)
class Judge:
    """What neurons write on held-out pictures [image, neuron], what is true of these, and the best word of each."""

    written: Tensor
    truth: Tensor
    best: Tensor
    sign: Tensor
    explained: Tensor

    @classmethod
    def of(cls, written: Tensor, truth: Tensor) -> "Judge":
        """The judge of a layer; `truth` is [text, image]."""
        scores = standard(written).T @ standard(truth.T) / len(written)  # [neuron, text]
        value, best = scores.abs().max(dim=1)
        sign = scores.gather(1, best[:, None])[:, 0].sign()
        return cls(written, truth, best, sign, value > EXPLAINED)

    def figures(self, way: Way) -> list[float]:
        """Medians over neurons; `named` is a share of the explained ones."""
        correlation = self.correlations(way)
        own = way.weights.gather(1, self.best[:, None])[:, 0]
        named = (own * self.sign > 0)[self.explained].float()
        counts = (way.weights != 0).sum(dim=1)
        lift = self._lift(way.weights)
        figures = [counts.float().median(), correlation.median(), np.median(lift), named.mean()]
        return [*map(float, figures), float(way.errors.median()), float(way.largest.median())]

    def correlations(self, way: Way) -> Tensor:
        """Of what each neuron writes with what its words say."""
        says = (way.weights @ self.truth).T
        return (standard(self.written) * standard(says)).mean(dim=0)

    def _lift(self, weights: Tensor) -> list[float]:
        """AUPRC over base rate, 1 where no word of positive weight is true of any picture, or one is of all."""
        positive = ((weights > 0).float() @ self.truth > 0).numpy()
        found = []
        for truth, written in zip(positive, self.written.T.numpy(), strict=True):
            base = truth.mean()
            found.append(average_precision_score(truth, written) / base if 0 < base < 1 else 1.0)
        return found


def standard(values: Tensor) -> Tensor:
    """Columns of mean 0 and variance 1; a constant column becomes 0."""
    centred = values - values.mean(dim=0)
    return centred / centred.square().mean(dim=0).sqrt().clamp(min=1e-12)


def draw(found: dict[int, dict[str, list[float]]], out: Path) -> None:
    """Reconstruction rises with the pursuit's length, and truth falls."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for layer, table in found.items():
        rows = [row for name, row in table.items() if name.startswith("pursuit of ")]
        lengths = LENGTHS[: len(rows)]
        left.plot(lengths, [1 - row[4] ** 2 for row in rows], marker="o", label=f"layer {layer}")
        right.plot(lengths, [row[1] for row in rows], marker="o", label=f"layer {layer}")
    titles = (
        "Share of |r|² that m texts explain",
        f"Correlation of the {SHOWN} strongest with\nwhat the neuron writes, held out",
    )
    for axes, title in zip((left, right), titles, strict=True):
        axes.set_xscale("log", base=2)
        axes.set_xticks(LENGTHS, map(str, LENGTHS))
        axes.set_xlabel("texts of the pursuit, m")
        axes.set_title(title, fontsize=9)
        axes.set_ylim(bottom=0 if axes is left else None)
        axes.grid(alpha=0.3)
    left.legend(fontsize=8)
    figure.savefig(out, dpi=130)


if __name__ == "__main__":
    main()
