"""Attribution maps of pictures by any of the methods, from one forward pass and at most one backward pass."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from clipneuron.lens.attribution.attention import START
from clipneuron.lens.attribution.maps import MAPS, Gradients, NeuronWeights, Seen
from clipneuron.lens.attribution.methods import METHODS, check_methods, needs_of
from clipneuron.lens.attribution.records import Record
from clipneuron.lens.attribution.relevance import Relevance, relevance
from clipneuron.lens.trace import TowerWeights
from clipneuron.models.clip.capture import check_call
from clipneuron.models.clip.recording import Wanted, block_linears, recorded

_LOCAL = 2
"""Blocks that LeGrad differentiates, counted from the last."""
_UNIT = 1e-2
"""How far from 1 a direction's length may be: half precision's rounding, not another scale."""


def attribute(
    visual: Any,
    weights: TowerWeights,
    pixels: Float[Tensor, "image 3 height width"],
    directions: Float[Tensor, "image embed"],
    methods: Sequence[str],
    *,
    neurons: Mapping[str, NeuronWeights] | None = None,
    others: Float[Tensor, "image embed"] | None = None,
) -> dict[str, Float[Tensor, "image patch"]]:
    """The map of every method for each picture's class: higher where a patch speaks more for it, row by row.

    `directions` are the classes' texts, at unit length. `neurons` has, for every method with a `choice` in `METHODS`,
    the neurons' weights (`lens.attribution.second_order.neuron_weights`, one row per picture). `others` is the mean
    direction over all classes, for the methods with `others`. Maps are raw: neither clipped, unless their definition
    says so, nor scaled.

    One forward pass, in which every method's maps have the same inputs, and one backward pass if a method needs
    gradients; LeGrad adds that of its two blocks. Of a class there is nothing in the maps of raw attention, rollout,
    centre and random neurons. Memory per image in float32, for T tokens, H heads, N neurons, L blocks of width W:
    without gradients or relevance 4 T N for every layer of `neurons`, and 4 T W L for TextSpan; with them about
    4 L T (12 W + 2 N + 2 H T): 40 MB for ViT-B-32, 710 MB for ViT-L-14.

    Raises ValueError for towers that the method does not cover (without a class token, among others), training mode,
    half precision, empty batches, unknown methods, and where what a method needs is missing or of another shape.
    """
    names = tuple(dict.fromkeys(methods))
    check_methods(names)
    neurons = {name: (neurons or {}).get(name, {}) for name in names if METHODS[name].choice}
    check_call(visual, pixels, [layer for layers in neurons.values() for layer in layers])
    _check_inputs(visual, weights, pixels, directions, others)
    _check_needed(weights, names, neurons, others, len(pixels))
    with torch.inference_mode(False), torch.no_grad():
        # what was made in inference mode cannot enter a graph
        like = weights.projection
        directions = directions.to(like).clone()
        record, gradients, found = _seen(visual, weights, pixels, directions, names, neurons)
        seen = Seen(
            weights=weights,
            directions=directions,
            others=None if others is None else others.to(like),
            neurons=neurons,
            grid=tuple(visual.grid_size),
            record=record,
            gradients=gradients,
            relevance=found,
        )
        return {name: MAPS[name](seen).detach().to(like.device, torch.float32) for name in names}


def _seen(
    visual: Any,
    weights: TowerWeights,
    pixels: Tensor,
    directions: Tensor,
    names: Sequence[str],
    neurons: Mapping[str, NeuronWeights],
) -> tuple[Record | None, Gradients | None, Relevance | None]:
    """One pass for all methods; none where no method looks at the picture."""
    if needs_of(names) == {"nothing"}:
        return None, None, None
    wanted = _wanted(names, neurons, weights.layers)
    record, gradients = recorded(visual, pixels, directions, wanted)
    if wanted.blocks is None:
        return record, gradients, None
    linears = [block_linears(block) for block in visual.transformer.resblocks]
    heads = directions @ weights.projection.T
    return record, gradients, relevance(record, linears, heads, wanted.blocks)


def _wanted(names: Sequence[str], neurons: Mapping[str, NeuronWeights], layers: int) -> Wanted:
    """What the pass has to keep for these methods."""
    last = layers - 1
    rolled = frozenset(range(min(START, last), layers))
    score = {"chefer": rolled, "gradcam": frozenset({last})}
    reach = {"lrp": 0, "partial-lrp": last, "chefer": min(START, last)}
    return Wanted(
        activations=frozenset(layer for kept in neurons.values() for layer in kept),
        first_order=bool({"textspan", "textspan-centered"} & set(names)),
        attention=rolled if "rollout" in names else frozenset(),
        score=frozenset().union(*(score.get(name, frozenset()) for name in names)),
        local=frozenset(range(max(0, layers - _LOCAL), layers))
        if "legrad" in names
        else frozenset(),
        blocks=min((reach[name] for name in names if name in reach), default=None),
        values="value-attention" in names,
    )


def _check_inputs(
    visual: Any, weights: TowerWeights, pixels: Tensor, directions: Tensor, others: Tensor | None
) -> None:
    dtype = weights.projection.dtype
    if torch.promote_types(dtype, torch.float32) != dtype:
        raise ValueError(
            f"the tower computes in {dtype}, too coarse for gradients and relevance: give the tower of "
            "`clip.widened()`, in float32"
        )
    if tuple(pixels.shape[2:]) != tuple(visual.image_size):
        height, width = visual.image_size
        raise ValueError(
            f"the pictures are {pixels.shape[2]} x {pixels.shape[3]} pixels; this tower reads {height} x {width}"
        )
    expected = len(pixels), weights.embed
    for name, found in (("directions", directions), ("others", others)):
        if found is not None and tuple(found.shape) != expected:
            raise ValueError(
                f"`{name}` has the shape {tuple(found.shape)}; expected {expected}, one row per picture"
            )
    lengths = directions.double().norm(dim=1)
    if not bool(((lengths - 1).abs() < _UNIT).all()):
        raise ValueError(
            f"directions must have unit length, but one has {float(lengths[(lengths - 1).abs().argmax()]):.3g}: "
            "normalise the texts' embeddings"
        )


def _check_needed(
    weights: TowerWeights,
    names: Sequence[str],
    neurons: Mapping[str, NeuronWeights],
    others: Tensor | None,
    images: int,
) -> None:
    for name, layers in neurons.items():
        if not layers:
            raise ValueError(
                f"{name} needs `neurons[{name!r}]`: the weights of some layers' neurons"
            )
        for layer, kept in layers.items():
            weights.check_layer(layer)
            if tuple(kept.shape) != (images, weights.neurons):
                raise ValueError(
                    f"the weights of layer {layer} for {name} have the shape {tuple(kept.shape)}; expected "
                    f"{(images, weights.neurons)}, one row per picture"
                )
    lacking = [name for name in names if METHODS[name].others and others is None]
    if lacking:
        raise ValueError(f"{lacking[0]} needs `others`: the mean direction over all classes")
