"""Do the neurons' words name what misleads the demo model? Scores of words against the measured effect of things.

    clipneuron run --recipe demo --store demo-run
    python benchmarks/cues.py --store demo-run

For each of ten pairs c1:c2 and each thing of the demo world, the margin between c2 and c1 on pictures of c1 with the
thing is compared with that on pictures of c1 alone; the difference is the thing's effect as a cue. The program prints
the rank correlation over things of this effect with each method's scores, averaged over the pairs, and the effect of
the method's first ten words. It explains the table of docs/attack.md; nothing about large CLIPs follows from it.
"""

import argparse
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import torch
from machine import describe
from scipy.stats import spearmanr
from torch import Tensor
from torch.nn.functional import normalize

from clipneuron import Clip, load_clip
from clipneuron.attack.inputs import pairs_of
from clipneuron.config.attack import Attack
from clipneuron.demo.pictures import render
from clipneuron.demo.scenes import arranged
from clipneuron.demo.things import CLASSES, THINGS
from clipneuron.lens.pursuit import STOPPED
from clipneuron.lens.words.spurious import contributions, cosines, strongest_neurons, text_scores
from clipneuron.readers.arrow import tensor
from clipneuron.readers.sweep import prepared_texts
from clipneuron.store.store import Run, Store
from clipneuron.sweep.results import SweepResults

SCENES = 6
"""Pictures per pair and thing."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--store", required=True, help="with a finished run of the recipe demo")
    run = Store(parser.parse_args().store).find_run("demo")
    clip = load_clip("demo", device="cpu")
    print(describe())
    print(f"{SCENES} pictures per pair and thing, {len(THINGS)} things, ten pairs")
    with torch.inference_mode():
        report(clip, run)


def report(clip: Clip, run: Run) -> None:
    """Print a row per method."""
    pool = prepared_texts(run, run.stage("texts"), "unit")
    names = [thing.name for thing in THINGS]
    columns = [pool.words.index(name) for name in names]
    pairs = pairs_of(Attack(pairs=("all",)), seed=0)
    embedded = dict(zip(CLASSES, normalize(clip.encode_texts(CLASSES), dim=1), strict=True))
    v = torch.stack([embedded[c2] - embedded[c1] for c1, c2 in pairs])
    unit = torch.from_numpy(pool.matrix.copy())
    methods = dict(scores(run, v, unit)) | {"similar": cosines(v, unit)}
    effects = [effect(clip, c1, v[place], names) for place, (c1, _) in enumerate(pairs)]
    print(f"{'method':28} rank correlation   mean effect of the first ten")
    for method, found in methods.items():
        rows = list(zip(found[:, columns], effects, pairs, strict=True))
        ranks = [
            spearmanr(*usable(row, measured, pair, names)).statistic for row, measured, pair in rows
        ]
        best = [top_effect(*usable(row, measured, pair, names)) for row, measured, pair in rows]
        print(f"{method:28} {np.mean(ranks):16.3f} {np.mean(best):+20.4f}")
    every = np.mean(
        [np.mean(usable(measured, measured, pair, names)[1]) for _, measured, pair in rows]
    )
    print(f"{'any thing':28} {'':16} {every:+20.4f}")


def usable(
    row: Tensor, measured: Tensor, pair: tuple[str, str], names: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Scores and effects of the things that may be cues: all but the two classes."""
    kept = [place for place, name in enumerate(names) if name not in pair]
    return row[kept].numpy(), measured[kept].numpy()


def top_effect(row: np.ndarray, measured: np.ndarray) -> float:
    return float(measured[np.argsort(-row, kind="stable")[:10]].mean())


def scores(run: Run, v: Tensor, unit: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Eq. 6 with the 100 strongest neurons of all layers and of each, and with 100 random ones [pair, text].

    With the neurons' few words; the strongest of all layers also with their long descriptions, as in the paper.
    """
    found = run.results(SweepResults)[0]
    directions = run.read(found.directions, "directions").sort_by(
        [("layer", "ascending"), ("neuron", "ascending")]
    )
    layers = tensor(directions["layer"]).long()
    neurons = int((layers == 0).sum())
    indices, weights = texts_of(
        run.read(found.descriptions, "neuron_words"), "place", layers, neurons
    )
    long = texts_of(run.read(found.descriptions, "descriptions"), "atom", layers, neurons)
    along = v @ tensor(directions["direction"]).T
    choices = {"second order, all layers": torch.arange(len(layers))}
    choices |= {
        f"second order, layer {layer}": (layers == layer).nonzero()[:, 0]
        for layer in layers.unique().tolist()
    }
    chosen = strongest_neurons(along, 100)
    given = contributions(along, chosen, long[1])
    yield "as in the paper, all layers", text_scores(given, long[0][chosen], len(unit))
    for name, own in choices.items():
        chosen = own[strongest_neurons(along[:, own], 100)]
        given = contributions(along, chosen, weights)
        yield name, text_scores(given, indices[chosen], len(unit))
    generator = torch.Generator().manual_seed(0)
    chosen = torch.stack([torch.randperm(len(layers), generator=generator)[:100] for _ in v])
    yield (
        "random neurons",
        text_scores(contributions(along, chosen, weights), indices[chosen], len(unit)),
    )
    # Without words: v as the neurons' directions alone reproduce it.
    whole = along @ tensor(directions["direction"])
    yield "all directions, no words", cosines(whole, unit)


def texts_of(
    described: pa.Table, place: str, layers: Tensor, neurons: int
) -> tuple[Tensor, Tensor]:
    """The texts of all neurons and their weights [neuron, atom]."""
    atom = tensor(described[place]).long()
    indices = torch.full((len(layers), 1 + int(atom.max())), STOPPED)
    weights = torch.zeros(indices.shape)
    row = tensor(described["layer"]).long() * neurons + tensor(described["neuron"]).long()
    indices[row, atom] = tensor(described["text_index"]).long()
    weights[row, atom] = tensor(described["weight"])
    return indices, weights


def effect(clip: Clip, c1: str, v: Tensor, names: list[str]) -> Tensor:
    """The mean change of the margin by adding each thing to c1 [thing]."""
    alone = margins(clip, [arranged("", {c1: 1}, seed) for seed in range(SCENES)], v).mean()
    scenes = [arranged("", {c1: 1, name: 1}, seed) for name in names for seed in range(SCENES)]
    return margins(clip, scenes, v).reshape(len(names), SCENES).mean(1) - alone


def margins(clip: Clip, scenes: list, v: Tensor) -> Tensor:
    """The cosine to c2 minus that to c1 of every scene."""
    found = []
    for start in range(0, len(scenes), 64):
        pictures = np.stack([render(scene) for scene in scenes[start : start + 64]])
        pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2)
        found.append(normalize(clip.visual(clip.preprocess.normalize(pixels)), dim=1) @ v)
    return torch.cat(found)


if __name__ == "__main__":
    main()
