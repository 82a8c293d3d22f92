"""What a picture costs in `effects` once its shards have to beat what is known: few of its effects are kept.

Used by benchmarks/scale.py: most of a large collection is in such waves. The stage's own work on a batch is timed at a
few layers, one after the other, so that they are not in memory together; between them, costs follow the paths and their
square. Means are those of the batch itself, of noise; nothing reaches what has to be beaten.
"""

import numpy as np
import torch
from timing import least

from clipneuron.lens.effects import SecondOrderLens
from clipneuron.lens.summaries import Moments
from clipneuron.lens.trace import Trace
from clipneuron.models.clip.model import Clip
from clipneuron.readers.sweep import MeanEffect
from clipneuron.sweep.stages.effects import Centre, Known, LayerSweep

SAMPLED, TOP, REPEATS = 5, 100, 2


@torch.inference_mode()
def forwards(clip: Clip, layers: list[int], batch: int) -> float:
    """The cost of all layers, in plain forward passes of `clip`."""
    pixels = torch.randn(batch, 3, *clip.image_size, generator=torch.Generator().manual_seed(0))
    passes = least(
        {"plain": lambda: clip.visual(pixels), "trace": lambda: clip.trace(pixels, layers)},
        REPEATS,
    )
    trace = clip.trace(pixels, layers)
    places = np.linspace(0, len(layers) - 1, min(SAMPLED, len(layers))).round().astype(int)
    sampled = [layers[place] for place in places]
    costs = [_layer(clip, layer, trace) for layer in sampled]
    curve = np.polyfit([clip.weights.paths(layer) for layer in sampled], costs, 2)
    added = np.polyval(curve, [clip.weights.paths(layer) for layer in layers]).sum()
    return float((passes["trace"] + added) / passes["plain"])


def _layer(clip: Clip, layer: int, trace: Trace) -> float:
    """Core-seconds of a layer's work on the batch."""
    wide = SecondOrderLens(clip, layer)
    seen = Moments.summed(wide.coefficient_sum(trace), wide.remainders(trace))
    mean = MeanEffect(*seen.mean, seen.axes, seen.count)
    beaten = torch.full((clip.neurons,), torch.iinfo(torch.int64).max)
    sweep = LayerSweep(Centre(*mean.inside(wide)), Known({layer: mean}, {layer: beaten}), TOP)
    images, room = torch.arange(trace.images), sweep.mean.new_empty(sweep.lens.room(trace.images))
    return least({layer: lambda: sweep.add(trace, images, room)}, REPEATS)[layer]
