"""What a picture costs in `effects` once its shards have to beat what is known: few of its effects are kept.

Used by benchmarks/scale.py: most of a large collection is in such waves. The stage's own work on a batch is timed at a
few layers, one after the other, so that they are not in memory together; between them, costs follow the paths and their
square. Means are those of the batch itself, of noise; nothing reaches what has to be beaten.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from clipneuron.lens.effects import SecondOrderLens
from clipneuron.lens.summaries import Moments
from clipneuron.lens.trace import Trace
from clipneuron.models.clip.model import Clip
from clipneuron.readers.sweep import MeanEffect
from clipneuron.sweep.stages.effects import Known, LayerSweep

SAMPLED, TOP, REPEATS = 5, 100, 2


def forwards(
    clip: Clip, layers: list[int], batch: int, seconds: Callable[[Callable[[], object]], float]
) -> float:
    """The cost of all layers, in plain forward passes of `clip`."""
    pixels = torch.randn(batch, 3, *clip.image_size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        plain = _least(seconds, lambda: clip.visual(pixels))
        traced = _least(seconds, lambda: clip.trace(pixels, layers))
        trace = clip.trace(pixels, layers)
        places = np.linspace(0, len(layers) - 1, min(SAMPLED, len(layers))).round().astype(int)
        sampled = [layers[place] for place in places]
        costs = [_layer(clip, layer, trace, seconds) for layer in sampled]
    curve = np.polyfit([clip.weights.paths(layer) for layer in sampled], costs, 2)
    added = np.polyval(curve, [clip.weights.paths(layer) for layer in layers]).sum()
    return float((traced + added) / plain)


def _layer(
    clip: Clip, layer: int, trace: Trace, seconds: Callable[[Callable[[], object]], float]
) -> float:
    """Seconds of a layer's work on the batch."""
    wide = SecondOrderLens(clip, layer)
    seen = Moments.summed(wide.coefficient_sum(trace), wide.remainders(trace))
    mean = MeanEffect(seen.mean[0], seen.mean[1], seen.axes, seen.count)
    beaten = torch.full((clip.neurons,), torch.iinfo(torch.int64).max)
    lens = wide.narrowed(mean.axes)
    sweep = LayerSweep(lens, Known({layer: mean}, {layer: beaten}), TOP)
    images, room = torch.arange(trace.images), _room(lens, trace)
    return _least(seconds, lambda: sweep.add(trace, images, room))


def _room(lens: SecondOrderLens, trace: Trace) -> Tensor:
    return lens.weights.projection.new_empty(lens.room(trace.images))


def _least(seconds: Callable[[Callable[[], object]], float], work: Callable[[], object]) -> float:
    """The least of the repeats, after one warm-up."""
    return min([seconds(work) for _ in range(REPEATS + 1)][1:])
