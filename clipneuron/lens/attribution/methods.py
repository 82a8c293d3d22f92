"""The attribution methods by name, without torch: titles, sources, and what each has to be given.

`clipneuron.lens.attribution.maps` has the function of each; `clipneuron.models.clip.attribution.attribute` makes the
forward and backward pass and calls them. The variants of the second order, and its control by random neurons, are one
function of other weights of neurons: `clipneuron.lens.attribution.second_order` makes these, too.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Need = Literal["nothing", "trace", "attention", "gradients", "relevance"]
"""What a method reads beyond the picture's size: a trace of one forward pass; whole attention matrices; gradients of
the score by them, hence a backward pass; relevance, handed down layer by layer from the output."""

Choice = Literal["absolute", "signed", "weighted", "random"]
"""Which neurons count and how much; see `clipneuron.lens.attribution.second_order.neuron_weights`."""


@dataclass(frozen=True)
class Method:
    """One attribution method.

    `choice` says which weights of neurons it has to be given (None: it reads no neurons); `others` that it also has to
    be given the mean direction over all classes.
    """

    name: str
    title: str
    source: str
    needs: frozenset[Need]
    choice: Choice | None = None
    others: bool = False


def _method(
    name: str,
    title: str,
    source: str,
    *needs: Need,
    choice: Choice | None = None,
    others: bool = False,
) -> Method:
    return Method(name, title, source, frozenset(needs), choice, others)


_PAPER = "Gandelsman, Efros, Steinhardt 2024, arXiv:2406.04341, Sec. 5.3"
_TEXTSPAN = "Gandelsman, Efros, Steinhardt 2024, arXiv:2310.05916, Sec. 5"
_CHEFER = "Chefer, Gur, Wolf 2021, arXiv:2012.09838"

_ALL = (
    _method("second-order", "Second order", _PAPER, "trace", choice="absolute"),
    _method("second-order-signed", "Second order, signed", "ours", "trace", choice="signed"),
    _method("second-order-weighted", "Second order, weighted", "ours", "trace", choice="weighted"),
    _method("second-order-attention", "Second order, attended", "ours", "trace", choice="absolute"),
    _method("raw-attention", "Raw attention", f"{_CHEFER}, Sec. 4 (baseline)", "trace"),
    _method("rollout", "Rollout", "Abnar, Zuidema 2020, arXiv:2005.00928", "attention"),
    _method(
        "gradcam",
        "GradCAM",
        f"Selvaraju et al. 2017, arXiv:1610.02391, on attention as in {_CHEFER}",
        "gradients",
    ),
    _method("lrp", "LRP", f"Bach et al. 2015, with the rules of {_CHEFER}", "relevance"),
    _method("partial-lrp", "Partial LRP", "Voita et al. 2019, arXiv:1905.09418", "relevance"),
    _method("chefer", "Chefer et al.", f"{_CHEFER}, Sec. 3", "gradients", "relevance"),
    _method("textspan", "TextSpan", _TEXTSPAN, "trace"),
    _method("textspan-centered", "TextSpan, centred", _TEXTSPAN, "trace", others=True),
    _method("legrad", "LeGrad", "Bousselham et al. 2025, arXiv:2404.03214", "gradients"),
    _method(
        "value-attention", "Value path", "Zhou, Loy, Dai 2022 (MaskCLIP), arXiv:2112.01071", "trace"
    ),
    _method("center", "Centre blob", "a control that sees no picture", "nothing"),
    _method("random-neurons", "Random neurons", "a control", "trace", choice="random"),
)

METHODS: Mapping[str, Method] = MappingProxyType({method.name: method for method in _ALL})
"""Every method, in the order of tables: ours, the rivals of Table 4, later ones, controls."""


def check_methods(names: Collection[str]) -> None:
    """Raise ValueError for names that no method has."""
    unknown = [name for name in names if name not in METHODS]
    if unknown:
        raise ValueError(
            f"there is no attribution method {unknown[0]!r}; there are {', '.join(METHODS)}"
        )
    if not names:
        raise ValueError(f"no attribution method was named; there are {', '.join(METHODS)}")


def needs_of(names: Collection[str]) -> frozenset[Need]:
    """What these methods need together."""
    return frozenset().union(*(METHODS[name].needs for name in names))
