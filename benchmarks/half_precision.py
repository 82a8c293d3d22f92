"""How far models in half precision are from the same model in float64, stage by stage.

    OMP_NUM_THREADS=1 python benchmarks/half_precision.py                       # the demo's model, its scenes
    OMP_NUM_THREADS=1 python benchmarks/half_precision.py --pictures 200

Every number is the root mean square of the difference to float64 over the root mean square of float64's, over all
pictures and neurons. What a format has to round is in it: the weights, the residual stream and what leaves the model.
Directions have one minus the cosine, of the median and of the 99th percentile of neurons; those of neurons with two
nearly equal principal components may turn in any format, and 2 is a direction whose sign, a majority, was turned.
Predictions are the share of pictures whose class differs. float32 stands beside them to show what is left by sums
that are never below it. LRP divides by sums that nearly cancel, so that one picture may decide its error: below the
table are each picture's, and how far maps in float64 move when pixels do by `--moved` (g is normally distributed).
"""

import argparse
from collections.abc import Iterator

import numpy as np
import torch
from machine import describe
from torch import Tensor
from torch.nn.functional import normalize

from clipneuron import Clip, SecondOrderLens, load_clip
from clipneuron.demo.pictures import render
from clipneuron.demo.scenes import sample_scene
from clipneuron.demo.things import CLASSES
from clipneuron.lens.ablations import LayerAblation, Replacement, representations
from clipneuron.lens.attribution.second_order import neuron_weights
from clipneuron.lens.directions import first_directions
from clipneuron.lens.first_order import head_effects
from clipneuron.lens.indirect import ActivationSums, indirect_effects
from clipneuron.lens.projections import LayerProjections
from clipneuron.lens.summaries import Moments
from clipneuron.lens.trace import Trace
from clipneuron.models.clip.attribution import attribute
from clipneuron.models.clip.interventions import halted, resume

FORMATS = (torch.float32, torch.float16, torch.bfloat16)
LAYER, TOP, TEMPLATES = -2, 20, ("a photo of a {}", "a drawing of a {}")
METHODS = ("second-order", "gradcam", "lrp", "textspan")
LRP = "segmentations: maps by lrp"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=64, help="scenes of the demo world")
    parser.add_argument("--moved", type=float, default=1e-7, help="how far LRP's pixels move")
    options = parser.parse_args()
    pictures = options.pictures
    print(describe())
    print(f"the demo's model, {pictures} scenes, its layer before the last; beside float64")
    scenes = [np.moveaxis(render(sample_scene(seed)), -1, 0) for seed in range(pictures)]
    exact = dict(figures(load_clip("demo", device="cpu", dtype=torch.float64), scenes))
    found = [dict(figures(load_clip("demo", device="cpu", dtype=each), scenes)) for each in FORMATS]
    titles = "".join(f"{str(each).removeprefix('torch.'):>20}" for each in FORMATS)
    print(f"\n{'stage, and what of it':56}{titles}")
    for name, expected in exact.items():
        cells = (apart(name, one[name], expected) for one in found)
        print(f"{name:56}" + "".join(f"{cell:>20}" for cell in cells))
    lrp(scenes, found[0][LRP], options.moved)


def lrp(scenes: list[np.ndarray], narrow: Tensor, share: float) -> None:
    """Why LRP's error is as it is: each picture's in float32, and in float64 with pixels that have moved a little."""
    clip = load_clip("demo", device="cpu", dtype=torch.float64)
    pixels = clip.preprocess.normalize(np.stack(scenes), clip.device, clip.dtype)
    dice = torch.Generator().manual_seed(0)
    moved = pixels * (1 + share * torch.randn(pixels.shape, generator=dice, dtype=pixels.dtype))
    texts = clip.classifier(CLASSES, TEMPLATES)
    with torch.no_grad():
        exact, other = (maps_of(clip, each, texts, ("lrp",))["lrp"] for each in (pixels, moved))
    titles = ("float32", f"float64, pixels x (1 + {share:g} g)")
    for title, found in zip(titles, (narrow.double(), other), strict=True):
        errors = (found - exact).flatten(1).norm(dim=1) / exact.flatten(1).norm(dim=1)
        cells = " ".join(f"{float(error):.1e}" for error in errors)
        print(f"LRP of single pictures, {title:32} {cells}")


def apart(name: str, found: Tensor, expected: Tensor) -> str:
    """The difference in words."""
    if "share that differs" in name:
        return f"{float((found != expected).double().mean()):.3f}"
    if "1 - cosine" in name:
        turned = 1 - (normalize(found.double(), dim=-1) * normalize(expected, dim=-1)).sum(-1)
        middle, most = (float(turned.abs().quantile(share)) for share in (0.5, 0.99))
        return f"{middle:.1e}, {most:.1e}"
    error = (found.double() - expected).square().mean().sqrt()
    return f"{float(error / expected.square().mean().sqrt()):.1e}"


@torch.no_grad()
def figures(clip: Clip, scenes: list[np.ndarray]) -> Iterator[tuple[str, Tensor]]:
    """What stages compute, by name."""
    layer = clip.layers + LAYER
    pixels = clip.preprocess.normalize(np.stack(scenes), clip.device, clip.dtype)
    trace = clip.trace(pixels, [layer], first_order=True, writes=True)
    texts, lens = clip.classifier(CLASSES, TEMPLATES), SecondOrderLens(clip, layer)
    yield "texts: M_text", clip.encode_texts(CLASSES)
    yield "classifier: unit rows", texts
    yield "embeddings: M_image", trace.embeddings
    yield "trace: attention of the class token", trace.attention[layer + 1]
    yield "trace: sigma of layer norms", trace.ln_1[layer + 1].sigma
    yield "activation-means: p", ActivationSums.of(trace.activations[layer]).mean
    yield from _second_order(lens, trace, texts)
    yield "first-order: effects of heads", head_effects(clip.weights, trace)
    yield from _widened(clip.widened(), layer, pixels, texts)


def _second_order(
    lens: SecondOrderLens, trace: Trace, texts: Tensor
) -> Iterator[tuple[str, Tensor]]:
    coefficients, remainders = lens.coefficients(trace), lens.remainders(trace)
    mean, mean_remainder = (
        part.to(coefficients) for part in Moments.of(coefficients, remainders).mean
    )
    yield "calibrate: mean coefficients", mean
    centred, rest, norms = lens.centred(trace, mean, mean_remainder)
    yield "effects: centred norms", norms
    yield "effects: Gram matrices", torch.cat([step.flatten() for step in lens.products.gram])
    top = norms.T.topk(TOP, dim=1)
    rows = centred.transpose(0, 1).gather(1, top.indices[..., None].expand(-1, -1, lens.paths))
    found = first_directions(rows, lens.basis(), rest[top.indices], lens.remainder_basis)
    thresholds = top.values[:, -1]
    yield "directions: thresholds", thresholds
    yield "directions: 1 - cosine, median and 99th percentile", found.vectors
    yield "directions: explained variance", found.explained_variance
    # the steps after it are given the directions of their own format, as a run does
    written = LayerProjections(lens, mean, mean_remainder, found.vectors, thresholds).of(trace)
    yield "projections, concepts: |<phi - b, r>|", written.projections.abs()
    replacement = Replacement(found.vectors, found.vectors)
    ablation = LayerAblation(lens, mean, mean_remainder, thresholds, {"pc": replacement})
    before = representations(trace)
    for name, change in ablation.changes(trace).items():
        yield f"ablations: representations, {name}", before + change
    classes = (before + change).to(texts) @ texts.T
    yield "ablations: share that differs in predictions", classes.argmax(1)
    yield "verdicts: margins between two classes", before.to(texts) @ (texts[1] - texts[0])


def _widened(wide: Clip, layer: int, pixels: Tensor, texts: Tensor) -> Iterator[tuple[str, Tensor]]:
    """What is computed with the model's weights in float32."""
    few, chosen = pixels[:8].to(wide.dtype), range(0, wide.neurons, 16)
    _, halts = halted(wide.visual, few, [layer])
    means = ActivationSums.of(halts[layer].activations).mean.to(wide.dtype)
    writes = wide.weights.blocks[layer].neuron_writes

    def later(residual: Tensor) -> Tensor:
        return resume(wide.visual, layer, residual)

    yield "indirect: effects", indirect_effects(halts[layer], writes, means, later, chosen)
    for name, found in maps_of(wide, few, texts, METHODS).items():
        yield f"segmentations: maps by {name}", found


def maps_of(
    clip: Clip, pixels: Tensor, texts: Tensor, methods: tuple[str, ...]
) -> dict[str, Tensor]:
    """The first pictures' maps of a class each, by method."""
    few, layer = pixels[:8], clip.layers + LAYER
    classes = torch.arange(len(few)) % len(texts)
    fixed = torch.linspace(-1, 1, len(texts) * clip.neurons, dtype=torch.float64)
    products = {layer: fixed.sin().view(len(texts), -1).to(clip.dtype)}
    weights = {each: part[classes] for each, part in neuron_weights(products, 50).items()}
    return attribute(
        clip.visual,
        clip.weights,
        few,
        texts[classes].to(clip.dtype),
        methods,
        neurons={"second-order": weights} if "second-order" in methods else {},
    )


if __name__ == "__main__":
    main()
