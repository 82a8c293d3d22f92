"""The tables of the paper's evidence: what the zero-shot classifier says with effects replaced, and why."""

import pyarrow as pa

from clipneuron.tables.columns import (
    COUNT,
    IMAGE,
    INDEX,
    LABEL,
    LAYER,
    NEURON,
    NOTE,
    REASON,
    STATUS,
    described,
    list_of,
)

_HEAD = (pa.int16(), "attention head, 0-based")
_FLOATS = list_of(pa.float32())


def classifier() -> pa.Schema:
    """The zero-shot classifier, a row per class."""
    return described(
        "classifier",
        {
            "label": (pa.int32(), "number of the class"),
            "name": (pa.string(), "its name"),
            "embedding": (_FLOATS, "normalised mean of its normalised texts [embed]"),
        },
    )


def predictions() -> pa.Schema:
    """The class that a picture is given with some effects replaced, a row per picture and ablation."""
    return described(
        "predictions",
        {
            "index": INDEX,
            "image": IMAGE,
            "label": LABEL,
            "status": STATUS,
            "reason": REASON,
            "note": NOTE,
            "layer": (pa.int16(), "layer whose effects are replaced, -1 for none"),
            "head": (pa.int16(), "last of the layer's heads that is replaced, -1 for all"),
            "ablation": (
                pa.string(),
                '"none"; second order: all, large, small, pc, texts:POOL:M; indirect; '
                "first order, with all layers (and heads) before: attention, heads",
            ),
            "prediction": (pa.int32(), "number of the class, null if the picture failed"),
        },
        nullable=("label", "reason", "note", "prediction"),
    )


def significance() -> pa.Schema:
    """How much of each neuron's energy lies in the evaluation's pictures that are above D's 98 % quantile."""
    return described(
        "significance",
        {
            "layer": LAYER,
            "neuron": NEURON,
            "count": COUNT,
            "above": (pa.int64(), "those of them with |phi - b| above its 98 % quantile over D"),
            "energy": (pa.float64(), "sum of |phi - b|^2 over all of them"),
            "energy_above": (pa.float64(), "sum of |phi - b|^2 over those above the quantile"),
        },
    )


def reconstructions() -> pa.Schema:
    """Directions as sums of the first few texts of their descriptions, refitted."""
    return described(
        "reconstructions",
        {
            "layer": LAYER,
            "neuron": NEURON,
            "atoms": (pa.int16(), "texts in the sum, m"),
            "reconstruction": (_FLOATS, "r_hat, not normalised [embed]"),
        },
    )


def first_order_means() -> pa.Schema:
    """Sums, over the pictures of a shard, of each head's first-order effect."""
    return described(
        "first_order_means",
        {
            "layer": (pa.int16(), "attention layer, 0-based"),
            "head": _HEAD,
            "count": COUNT,
            "effect": (list_of(pa.float64()), "sum of the head's effects over them [embed]"),
        },
    )


def first_order() -> pa.Schema:
    """How large each head's first-order effects are on the pictures of a shard."""
    return described(
        "first_order",
        {
            "layer": (pa.int16(), "attention layer, 0-based"),
            "head": _HEAD,
            "count": COUNT,
            "square_sum": (pa.float64(), "sum of |effect - mean over D|^2 over them"),
        },
    )


def activation_means() -> pa.Schema:
    """Sums, over the pictures of a shard, of the neurons' activations at each token."""
    return described(
        "activation_means",
        {
            "layer": LAYER,
            "token": (pa.int32(), "token, 0 is the class token"),
            "count": COUNT,
            "activations": (list_of(pa.float64()), "sum of p over them [neuron]"),
        },
    )


def indirect() -> pa.Schema:
    """Effects of some neurons on some pictures, a row per picture and neuron."""
    return described(
        "indirect",
        {
            "index": INDEX,
            "layer": LAYER,
            "neuron": NEURON,
            "indirect": (_FLOATS, "M_image(I) - M_image(I | activation at its mean) [embed]"),
            "second_order": (_FLOATS, "phi of the same neuron on the same picture [embed]"),
        },
    )


def indirect_directions() -> pa.Schema:
    """First principal directions of indirect effects, beside those of second-order effects on the same pictures."""
    return described(
        "indirect_directions",
        {
            "layer": LAYER,
            "neuron": NEURON,
            "count": (pa.int64(), "pictures that the neuron was held at its mean on"),
            "direction": (_FLOATS, "first principal direction of the top indirect effects [embed]"),
            "mean": (_FLOATS, "mean indirect effect, which was taken off [embed]"),
            "explained_variance": (
                pa.float32(),
                "share of the top indirect effects along the direction",
            ),
            "explained_variance_all": (
                pa.float32(),
                "the same with the first direction of all pictures' indirect effects",
            ),
            "second_order_variance": (
                pa.float32(),
                "share of the top second-order effects along their own first direction",
            ),
            "second_order_variance_all": (
                pa.float32(),
                "the same of all pictures' second-order effects",
            ),
        },
    )
