"""What a pass over the pictures holds where the model is, from shapes alone; without torch."""

from collections.abc import Sequence
from dataclasses import dataclass

from clipneuron.config.values.memory import Chosen
from clipneuron.models.allocation import KEPT

STEP, MADE, BINS = 48, 256, 256
"""As in `clipneuron.lens`, which a test compares: torch is not needed to plan."""


@dataclass(frozen=True)
class Shape:
    """What memory depends on, of a model and a recipe."""

    layers: int
    heads: int
    neurons: int
    width: int
    embed: int
    tokens: int
    weights: int
    """Bytes of the model where it computes, with what lenses copy of it."""
    batch: int
    top: int
    shard: int
    """Pictures per shard."""
    number: int = 4
    """Bytes of a number in the model's passes."""
    norm: int = 4
    """Bytes of a number of the table `norms`."""
    remainders: bool = True
    """Whether there are any, as in the split `equal`."""
    pixels: int = 0
    """Bytes of a decoded picture."""

    def paths(self, layer: int) -> int:
        """A, the number of (later layer, head) paths."""
        return (self.layers - 1 - layer) * self.heads

    def axes(self, layer: int) -> int:
        """The remainders' axes, at most."""
        if not self.remainders:
            return 0
        return min(2 * self.paths(layer) + 3, self.embed)

    @property
    def channel(self) -> int:
        """Channels of a head."""
        return self.width // self.heads


@dataclass(frozen=True)
class Held:
    """Bytes that one layer holds throughout a pass."""

    gram: float
    cross: float
    """Neurons and the remainder's coordinates in the bases of the heads."""
    collector: float
    paths: float
    rest: float
    """Means, norms and remainders of a shard's pictures."""

    @property
    def total(self) -> float:
        """All of it."""
        return self.gram + self.cross + self.collector + self.paths + self.rest


def pairs(paths: int) -> int:
    """Entries that are held of a neuron's Gram matrix: in steps of paths, half of it and a little."""
    return sum(min(STEP, left) * left for left in range(paths, 0, -STEP))


def held(shape: Shape, layer: int, precision: Chosen) -> Held:
    """What a layer holds: Gram matrices, cross terms, summaries, path matrices and what is kept per picture."""
    paths, axes, neurons = shape.paths(layer), shape.axes(layer), shape.neurons
    spanned = min(shape.channel, shape.embed) if axes else 0
    matrices = paths * shape.channel * (shape.width + shape.embed) * 4
    counts = neurons * (3 * 8 + BINS * 8 + 8 + shape.top * 8)
    rest = neurons * paths * 4 + shape.shard * (neurons + axes) * 4
    remainder = paths * spanned * axes * 4
    if precision == "float32":
        gram, cross = neurons * pairs(paths) * 4, neurons * paths * spanned * 4 + remainder
        return Held(gram, cross, neurons * shape.top * paths * 4 + counts, matrices, rest)
    gram = neurons * (pairs(paths) * 2 + paths * 4)
    cross = neurons * paths * spanned * 2 + remainder
    collector = neurons * shape.top * (paths * 2 + 4) + counts
    return Held(gram, cross, collector, 0, rest)


def passing(shape: Shape, layers: Sequence[int], precision: Chosen) -> float:
    """What comes and goes, at most: activations of a batch, with the largest of what follows them.

    That is the forward pass of a block, a layer's coefficients and what is copied of them, path matrices while Gram
    matrices are made, and a layer's summary while it is written down.
    """
    batch, neurons = shape.batch, shape.neurons
    wide = max(shape.paths(layer) for layer in layers)
    activations = neurons * shape.tokens * 4 + shape.tokens * wide * 4 * 2
    coefficients = neurons * wide * 4 * (4 if precision == "float16" else 3)
    matrices = wide * shape.channel * (shape.width + 2 * shape.embed) * 4 * 2
    making = MADE * (wide * shape.embed * 4 * 3 + STEP * wide * 4) + matrices
    summary = neurons * shape.top * wide * 4 * (2 if precision == "float16" else 1)
    work = max(_block(shape), activations + coefficients)
    per_batch = batch * (_recorded(shape, layers) + work)
    return max(per_batch, making, summary + neurons * BINS * 8 * 2)


def calibrating(shape: Shape, layers: Sequence[int]) -> float:
    """What the stage `calibrate` holds: a trace of all layers at once, their sums in float64, and remainders' terms."""
    sums = [shape.neurons * shape.paths(layer) * 8 + shape.axes(layer) ** 2 * 8 for layer in layers]
    attention = shape.tokens * max(map(shape.paths, layers)) * 4 * 2
    per_batch = shape.batch * (_recorded(shape, layers) + max(_block(shape), attention))
    terms = sum(_terms(shape, layer) for layer in layers)
    return sum(sums) + 2 * max(sums) + per_batch + terms


def calibrating_on_cpu(shape: Shape, layers: Sequence[int]) -> float:
    """The same in main memory, with what the process has free: the first trace lies between holes of its own size.

    They are left by what a block's forward pass frees beside the activations that are kept, and glibc does not put
    the next ones there (`benchmarks/memory.py --calibrate`).
    """
    used = calibrating(shape, layers)
    return used + min(KEPT, used) + shape.batch * _recorded(shape, layers)


def _terms(shape: Shape, layer: int) -> float:
    """The remainders' terms, and the two matrices that make coordinates of them."""
    axes, terms = shape.axes(layer), 2 * shape.paths(layer) + 3
    return 4 * (terms * (shape.embed + axes) + axes * shape.embed) if axes else 0


def _recorded(shape: Shape, layers: Sequence[int]) -> float:
    """Of a picture, what a trace of these layers keeps: activations, and what later blocks did with them."""
    later = 4 * (shape.heads + 2) * (shape.layers - 1 - min(layers))
    return shape.tokens * (len(layers) * shape.neurons * shape.number + later)


def _block(shape: Shape) -> float:
    """Of a picture, what a block's forward pass takes."""
    return shape.tokens * (2 * shape.neurons + 6 * shape.width) * shape.number


@dataclass(frozen=True)
class Need:
    """Bytes that a pass needs at most."""

    at_model: float
    """Where the model is: of a GPU its own memory."""
    tables: float
    """Of main memory: a shard's tables and their encoding, mean effects, and pixels of two shards."""
    free: float
    """What a worker on the CPU keeps of freed memory."""

    def of(self, on_cpu: bool) -> float:
        """What has to fit beside each other: on the CPU all of it."""
        return self.at_model + self.tables + self.free if on_cpu else self.at_model


def need(shape: Shape, layers: Sequence[int], group: Sequence[int], precision: Chosen) -> Need:
    """What both passes need, where the second sweeps a group of the layers at a time and the first has all at once."""
    passes = passing(shape, group, precision)
    second = sum(held(shape, layer, precision).total for layer in group) + passes
    most = max(second, calibrating(shape, layers))
    # Only what has been used before can be free.
    on_cpu = max(second + min(KEPT, passes), calibrating_on_cpu(shape, layers))
    return Need(shape.weights + most, _tables(shape, layers), on_cpu - most)


def _tables(shape: Shape, layers: Sequence[int]) -> float:
    """Twice a shard's tables, which are encoded while they are there, mean effects in float64, and pixels.

    Those are of the shard in hand, and of the next one twice, while its pictures are put together.
    """
    found, means = 0, 0
    for layer in layers:
        means += shape.neurons * shape.paths(layer) * 8
        found += shape.neurons * (shape.top * (shape.paths(layer) * 4 + 12) + BINS * 8)
        found += shape.shard * (shape.neurons * shape.norm + shape.axes(layer) * 4)
    return 2.0 * found + means + 3 * shape.shard * shape.pixels
