"""The cost of attribution maps, relative to a plain forward pass: ViT-B-32's shape, random weights, on this machine.

    python benchmarks/attribution.py                     # every method alone, and all in one pass
    python benchmarks/attribution.py --batch 8 --repeats 3 --methods second-order lrp

Each repeat times the plain open_clip forward pass, one forward and backward pass (of the score, by the pixels' patches
as they enter the first block), and every method in turn on the same pictures; reported are medians of the ratios within
a repeat, so that a drift of the machine's speed affects all alike. On a CPU, seconds are those of all threads together,
which other programs change less than the wall's. Second order: 200 neurons of layers L-4 to L-2, as in the paper. A
method that needs neither gradients nor relevance is to stay below 2 forward passes (second order below 1.3), the others
below 1.5 forward and backward passes.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import open_clip
import torch
from machine import describe
from torch.nn.functional import normalize

from clipneuron import Clip, load_clip
from clipneuron.lens.attribution.maps import NeuronWeights
from clipneuron.lens.attribution.methods import METHODS, needs_of
from clipneuron.lens.attribution.second_order import neuron_weights
from clipneuron.models.clip.attribution import attribute

SECOND_ORDER, WITHOUT, WITH = 1.3, 2.0, 1.5
"""The goals: of second order and of methods without gradients, in forward passes; of the rest, in both passes."""
PLAIN, BACKWARD = "plain forward pass", "forward and backward pass"


@dataclass(frozen=True)
class Inputs:
    """Pictures with a class each."""

    pixels: torch.Tensor
    directions: torch.Tensor
    others: torch.Tensor
    neurons: dict[str, NeuronWeights]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", default="ViT-B-32", help="an open_clip architecture")
    parser.add_argument("--batch", type=int, default=32, help="pictures per pass")
    parser.add_argument("--repeats", type=int, default=5, help="timed repeats, after one warm-up")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    clip = load_clip(
        open_clip.create_model(arguments.model, pretrained=None), device=arguments.device
    )
    inputs = inputs_of(clip, arguments.batch)
    print(describe())
    print(
        f"{arguments.model} on {clip.device}, batch {arguments.batch}, {arguments.repeats} repeats, float32, "
        f"load {os.getloadavg()[0]:.1f} at the start"
    )
    works = {
        PLAIN: lambda: plain(clip, inputs),
        BACKWARD: lambda: backward(clip, inputs),
        **{name: maps(clip, inputs, [name]) for name in arguments.methods},
        "all in one pass": maps(clip, inputs, arguments.methods),
    }
    report(timed(works, arguments.repeats, clip.device), arguments.batch)


def inputs_of(clip: Clip, batch: int) -> Inputs:
    """Noise, with random classes and neurons."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(batch, 3, *clip.image_size, generator=generator)
    directions = normalize(torch.randn(batch, clip.embed, generator=generator), dim=1)
    layers = range(max(0, clip.layers - 4), clip.layers - 1)
    products = {
        layer: torch.randn(batch, clip.neurons, generator=generator).to(clip.device)
        for layer in layers
    }
    neurons = {
        name: neuron_weights(products, 200, method.choice)
        for name, method in METHODS.items()
        if method.choice
    }
    others = directions.mean(0, keepdim=True).expand(batch, -1)
    here = (tensor.to(clip.device) for tensor in (pixels, directions, others))
    return Inputs(*here, neurons)


def plain(clip: Clip, inputs: Inputs) -> None:
    with torch.inference_mode():
        clip.visual(inputs.pixels)


def backward(clip: Clip, inputs: Inputs) -> None:
    """The model's own pass, and the gradient of every picture's score by what enters the first block."""
    visual = clip.visual
    with torch.no_grad():
        entering = visual._embeds(inputs.pixels)
    entering.requires_grad_()
    embeddings = visual.ln_post(visual.transformer(entering)[:, 0]) @ visual.proj
    score = (normalize(embeddings, dim=1) * inputs.directions).sum()
    torch.autograd.grad(score, entering)


def maps(clip: Clip, inputs: Inputs, names: list[str]) -> Callable[[], object]:
    return lambda: attribute(
        clip.visual,
        clip.weights,
        inputs.pixels,
        inputs.directions,
        names,
        neurons=inputs.neurons,
        others=inputs.others,
    )


def timed(
    works: dict[str, Callable[[], object]], repeats: int, device: torch.device
) -> list[dict[str, float]]:
    """Seconds of every work in every repeat after a warm-up."""
    return [
        {name: seconds(work, device) for name, work in works.items()} for _ in range(repeats + 1)
    ][1:]


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Of the processor, all its threads together; on a GPU, of the wall."""
    if device.type == "cpu":
        start = time.process_time()
        work()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def report(rounds: list[dict[str, float]], batch: int) -> None:
    """Print a row per method: pictures per second, and its ratios."""
    print(f"{'':26} {'pictures/s':>10} {'/ forward':>10} {'/ both':>8}  goal")
    for name in rounds[0]:
        rate = batch / statistics.median(here[name] for here in rounds)
        forward, both = (
            statistics.median(here[name] / here[base] for here in rounds)
            for base in (PLAIN, BACKWARD)
        )
        print(f"{name:26} {rate:10.1f} {forward:10.2f} {both:8.2f}  {goal(name, forward, both)}")


def goal(name: str, forward: float, both: float) -> str:
    """Which goal the method has, and whether it is met."""
    if name not in METHODS:
        return ""
    if needs_of([name]) & {"gradients", "relevance"}:
        return f"{WITH} x both: {'met' if both <= WITH else 'missed'}"
    limit = SECOND_ORDER if name == "second-order" else WITHOUT
    return f"{limit} x forward: {'met' if forward <= limit else 'missed'}"


if __name__ == "__main__":
    main()
