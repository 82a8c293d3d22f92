"""Concepts of single pictures: how long one takes, and where second-order concepts lose against the embedding's words.

    OMP_NUM_THREADS=1 python benchmarks/concepts.py      # a picture's seconds in ViT-B-32's shape, 30,000 texts
    python benchmarks/concepts.py --store demo-run       # precision on the demo's scenes, part by part

The first has random weights, texts and descriptions of 128 texts; the penalty of the sparse sum is such that it has
as many texts as real ones. Beside the time stand processor-seconds, which tell more on a busy machine. The second
needs a store in which `clipneuron concepts --recipe demo` has run: it takes one part of the method away after another.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import open_clip
import torch
from machine import describe
from torch.nn.functional import normalize

from clipneuron import Clip, SecondOrderLens, load_clip
from clipneuron.concepts.finder import Finder
from clipneuron.concepts.known import Heads, Known, Search, known_of
from clipneuron.concepts.pipeline import ConceptsLine
from clipneuron.config.concepts import METHODS
from clipneuron.config.named import named_recipe
from clipneuron.lens.ablations import representations
from clipneuron.lens.words.concepts import concept_scores, given, truthful
from clipneuron.readers.arrow import unchanging
from clipneuron.readers.lenses import Lenses, trace_of
from clipneuron.readers.sweep import MeanEffect, Planned, PreparedTexts
from clipneuron.readers.written import SweptNeurons
from clipneuron.store.store import Store

TEXTS, ATOMS, SPANNED, PENALTY = 30_000, 128, 20, 0.13


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--store", default="", help="a store with the demo's concepts")
    parser.add_argument("--pictures", type=int, default=300, help="scenes of the second part")
    parser.add_argument("--repeats", type=int, default=5, help="pictures that are timed")
    arguments = parser.parse_args()
    print(describe())
    if arguments.store:
        parts(arguments.store, arguments.pictures)
    else:
        seconds(arguments.repeats)


def seconds(repeats: int) -> None:
    clip = load_clip(open_clip.create_model("ViT-B-32", pretrained=None))
    lenses = Lenses((9,), "equal", True)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 3, 224, 224), dtype=np.uint8)
    whole = random_known(clip)
    print("ViT-B-32's shape, layer 9, 30,000 texts, 128 a neuron; medians, a picture at a time")
    print(f"{'':60} {'time':>8} {'CPU':>8}")
    report("plain forward pass", lambda: trace_of(clip, pixels, (9,)), repeats)
    for methods in (("second-order",), ("nearest",), ("splice",), ("textspan",), METHODS):
        search = Search(layers=(9,), methods=methods, penalty=PENALTY)
        finder = Finder(clip, lenses, search, whole)
        report(", ".join(methods), lambda finder=finder: finder.of(pixels), repeats)
        if methods == ("splice",):
            texts = int((finder.of(pixels).scores["splice"] > 0).sum())
            print(f"    a sparse sum of {texts} texts")


def report(name: str, work: Callable[[], object], repeats: int) -> None:
    wall, cpu = zip(*[timed(work) for _ in range(repeats + 1)][1:], strict=True)
    print(f"{name:60.60} {statistics.median(wall):6.3f} s {statistics.median(cpu):6.3f} s")


def timed(work: Callable[[], object]) -> tuple[float, float]:
    start, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - used


def random_known(clip: Clip) -> Known:
    """What a run could know, drawn at random; about 2 % of the neurons are activated."""
    dice = torch.Generator().manual_seed(0)
    weights, neurons, embed = clip.weights, clip.neurons, clip.embed
    paths = weights.paths(9)
    axes = len(SecondOrderLens(clip, 9).remainder_basis)
    mean = MeanEffect(torch.zeros(neurons, paths), torch.zeros(axes), torch.eye(axes), 1)
    texts = normalize(torch.randn(TEXTS, embed, generator=dice), dim=1)
    thresholds = np.full(neurons, np.inf, np.float32)
    thresholds[torch.randperm(neurons, generator=dice)[: neurons // 50].numpy()] = 0
    heads = 4 * weights.heads
    spans = torch.linalg.qr(torch.randn(heads, embed, SPANNED, generator=dice)).Q.mT
    directions = normalize(torch.randn(neurons, embed, generator=dice), dim=1).numpy()
    return Known(
        SweptNeurons({9: mean}, {9: directions}, {9: thresholds}),
        torch.randint(TEXTS, (neurons, ATOMS), generator=dice).numpy(),
        torch.randn(neurons, ATOMS, generator=dice).numpy(),
        PreparedTexts(tuple(map(str, range(TEXTS))), texts.numpy()),
        np.zeros(embed, np.float32),
        Heads(
            torch.randint(TEXTS, (heads, SPANNED), generator=dice).numpy(),
            spans.contiguous().numpy(),
            np.zeros((heads, SPANNED), np.float32),
            4,
        ),
    )


def parts(store: str, pictures: int) -> None:
    line = ConceptsLine.of(named_recipe("demo", {"concepts": {"limit": pictures}}), Store(store))
    run = line.sweep.open()
    known = known_of(run, line.search, line.stages(Planned.of(run)).concepts.sources)
    finder = Finder(line.sweep.loader(), line.sweep.lenses, line.search, known)
    shown = list(line.looked.pictures.pictures)
    told = line.witness.tell(line.sweep.pool.texts, tuple(shown))
    found: dict[str, list[torch.Tensor]] = {}
    for start in range(0, pictures, 50):
        batch = shown[start : start + 50]
        read = [line.sweep.preprocess.decode(line.looked.pictures.read(one)) for one in batch]
        holds = torch.zeros(len(batch), len(finder.names), dtype=torch.bool)
        for place, texts in enumerate(told[start : start + 50]):
            holds[place, texts] = True
        for name, scores in variants(finder, known, np.stack(read)).items():
            found.setdefault(name, []).append(truthful(scores, holds).precision)
    print(f"precision of the first 5 on {pictures} of the demo's scenes")
    for name, values in found.items():
        print(f"{name:76} {torch.cat(values).nanmean():.3f}")


@torch.inference_mode()
def variants(finder: Finder, known: Known, pixels: np.ndarray) -> dict[str, torch.Tensor]:
    found = finder.of(pixels)
    written = [layer.of(found.trace) for layer in finder.layers]
    projections = torch.cat([item.projections for item in written], dim=1)
    words, everyone = finder.words["second-order"], torch.ones_like(found.activated)
    directions = torch.cat(
        [unchanging(known.neurons.directions[layer]) for layer in finder.search.layers]
    )
    size = len(pixels), len(finder.names)
    return {
        "second-order: |phi - b| of activated neurons, their words": found.scores["second-order"],
        "the same, <phi - b, r>": concept_scores(given(projections, found.activated, words), *size),
        "the same, of all neurons": concept_scores(given(projections, everyone, words), *size),
        "the same without words: cosines of texts with sum of <phi - b, r> r": normalize(
            projections @ directions, dim=1
        )
        @ finder.texts.T,
        "nearest: cosines of texts with the whole embedding": representations(found.trace)
        @ finder.texts.T,
    }


if __name__ == "__main__":
    main()
