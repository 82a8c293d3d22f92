"""Every attribution method's map, by name, of what one pass has found."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from jaxtyping import Float
from torch import Tensor

from clipneuron.lens.attribution.attention import raw_attention, rollout
from clipneuron.lens.attribution.controls import center
from clipneuron.lens.attribution.first_order import textspan
from clipneuron.lens.attribution.gradients import grad_cam, legrad, transformer_attribution
from clipneuron.lens.attribution.lrp import lrp, partial_lrp
from clipneuron.lens.attribution.records import Record
from clipneuron.lens.attribution.relevance import Relevance
from clipneuron.lens.attribution.second_order import second_order, second_order_attended
from clipneuron.lens.attribution.values import value_attention
from clipneuron.lens.trace import TowerWeights

NeuronWeights = Mapping[int, Float[Tensor, "image neuron"]]
"""Layer -> the weight of each of its neurons in each picture's map."""


@dataclass(frozen=True)
class Gradients:
    """Of the score with respect to attention, and of the blocks' own scores with respect to theirs (LeGrad)."""

    score: Mapping[int, Float[Tensor, "image head _query token"]]
    blocks: Mapping[int, Float[Tensor, "image head _query token"]]


@dataclass(frozen=True)
class Seen:
    """What one pass over a batch of pictures gives the methods; empty where no method asked for it."""

    weights: TowerWeights
    directions: Float[Tensor, "image embed"]
    others: Float[Tensor, "image embed"] | None
    neurons: Mapping[str, NeuronWeights]
    grid: tuple[int, int]
    record: Record | None
    gradients: Gradients | None
    relevance: Relevance | None


Map = Callable[[Seen], Tensor]


def _second_order(name: str) -> Map:
    return lambda seen: second_order(_record(seen).trace, seen.neurons[name])


def _second_order_attended(seen: Seen) -> Tensor:
    return second_order_attended(_record(seen).trace, seen.neurons["second-order-attention"])


def _grad_cam(seen: Seen) -> Tensor:
    gradients = _gradients(seen).score
    last = max(gradients)
    return grad_cam(_record(seen).attention[last], gradients[last])


def _textspan(seen: Seen) -> Tensor:
    return textspan(seen.weights, _record(seen).trace, seen.directions)


def _textspan_centered(seen: Seen) -> Tensor:
    assert seen.others is not None
    return textspan(seen.weights, _record(seen).trace, seen.directions - seen.others)


def _value_attention(seen: Seen) -> Tensor:
    values = _record(seen).values
    assert values is not None
    return value_attention(values, seen.directions)


def _record(seen: Seen) -> Record:
    assert seen.record is not None
    return seen.record


def _gradients(seen: Seen) -> Gradients:
    assert seen.gradients is not None
    return seen.gradients


def _relevance(seen: Seen) -> Relevance:
    assert seen.relevance is not None
    return seen.relevance


MAPS: Mapping[str, Map] = MappingProxyType(
    {
        "second-order": _second_order("second-order"),
        "second-order-signed": _second_order("second-order-signed"),
        "second-order-weighted": _second_order("second-order-weighted"),
        "second-order-attention": _second_order_attended,
        "raw-attention": lambda seen: raw_attention(_record(seen).trace),
        "rollout": lambda seen: rollout(_record(seen).attention),
        "gradcam": _grad_cam,
        "lrp": lambda seen: lrp(_relevance(seen)),
        "partial-lrp": lambda seen: partial_lrp(_relevance(seen)),
        "chefer": lambda seen: transformer_attribution(
            _gradients(seen).score, _relevance(seen).attention
        ),
        "textspan": _textspan,
        "textspan-centered": _textspan_centered,
        "legrad": lambda seen: legrad(_gradients(seen).blocks),
        "value-attention": _value_attention,
        "center": lambda seen: center(len(seen.directions), seen.grid),
        "random-neurons": _second_order("random-neurons"),
    }
)
"""The map [image, patch] of each of `clipneuron.lens.attribution.methods.METHODS`."""
