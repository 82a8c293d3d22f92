"""The tables of a sweep, from the plan of its pictures to what its neurons are described with.

`path` runs over the second-order paths of a neuron (later layers and heads), `top` over its pictures of greatest norm.
"""

from collections.abc import Sequence

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
    TEXT_NOTE,
    described,
    list_of,
)

_FLOAT32 = pa.float32()


def plan() -> pa.Schema:
    """Which pictures there are and which shard each belongs to."""
    return described(
        "plan",
        {
            "index": INDEX,
            "image": IMAGE,
            "shard": (pa.string(), "shard that the picture belongs to"),
            "label": LABEL,
            "label_name": (pa.string(), "name of the class, null where unknown"),
            "source": (pa.string(), "file or object that holds it, relative to the collection"),
            "offset": (
                pa.int64(),
                "row in a Parquet file or first byte in a tar, null for a file of its own",
            ),
            "part": (pa.int32(), "0 for the first plan, n for its n-th extension"),
            "size": (pa.int64(), "bytes of the encoded picture, null in a Parquet file"),
            "etag": (pa.string(), "S3's mark of the source's content, null elsewhere"),
        },
        nullable=("label", "label_name", "offset", "size", "etag"),
    )


def means() -> pa.Schema:
    """Sums, over the pictures of a shard, of each neuron's coefficients s (calibrate)."""
    return described(
        "means",
        {
            "layer": LAYER,
            "neuron": NEURON,
            "count": COUNT,
            "coefficients": (list_of(pa.float64()), "sum of the coefficients s over them [path]"),
        },
    )


def remainder_means() -> pa.Schema:
    """Sums, over the pictures of a shard, of the effects' remainders (calibrate, split="equal")."""
    return described(
        "remainder_means",
        {
            "layer": LAYER,
            "count": COUNT,
            "coordinates": (list_of(pa.float64()), "sum of the remainders' coordinates over them"),
            "products": (
                list_of(pa.float64()),
                "sum of the coordinates' products [coordinate, coordinate]",
            ),
        },
    )


def norms(layers: Sequence[int], neurons: int, numbers: pa.DataType = _FLOAT32) -> pa.Schema:
    """Centred norms |phi - b| of every neuron on every picture, a row per picture (effects).

    `numbers` are float32, or float16 where `recipe.norms` asks for it.
    """
    effects = list_of(numbers, neurons)
    return described(
        "norms",
        {
            "index": INDEX,
            "image": IMAGE,
            "label": LABEL,
            "status": STATUS,
            "reason": REASON,
            "note": NOTE,
        }
        | {
            f"layer_{layer}": (
                effects,
                f"|phi - b| of the neurons of layer {layer}, null if it failed",
            )
            for layer in layers
        },
        nullable=("label", "reason", "note", *(f"layer_{layer}" for layer in layers)),
    )


def summaries() -> pa.Schema:
    """What the pictures of a shard say of each neuron, in a form that merges (effects)."""
    return described(
        "summaries",
        {
            "layer": LAYER,
            "neuron": NEURON,
            "count": COUNT,
            "norm_sum": (pa.float64(), "sum of |phi - b|"),
            "square_sum": (pa.float64(), "sum of |phi - b|^2"),
            "fourth_sum": (pa.float64(), "sum of |phi - b|^4"),
            "histogram": (list_of(pa.int64()), "pictures per bin of |phi - b|"),
            "top_norms": (list_of(pa.float32()), "greatest |phi - b|, falling, 0 if unused [top]"),
            "top_images": (
                list_of(pa.int64()),
                "index of the pictures that have them, -1 if unused [top]",
            ),
            "top_coefficients": (
                list_of(pa.float32()),
                "their centred coefficients s, row after row [top, path]",
            ),
        },
    )


def remainders() -> pa.Schema:
    """What the coefficients of a layer leave out of its effects, a row per picture and layer (effects)."""
    return described(
        "remainders",
        {
            "index": INDEX,
            "layer": LAYER,
            "coordinates": (
                list_of(pa.float32()),
                "the remainder, centred, along its principal axes [axis]",
            ),
        },
    )


def directions() -> pa.Schema:
    """The one direction that each neuron writes along in the output space, and how well it does."""
    return described(
        "directions",
        {
            "layer": LAYER,
            "neuron": NEURON,
            "direction": (list_of(pa.float32()), "first principal component r, of unit length"),
            "mean": (list_of(pa.float32()), "mean effect that was taken off"),
            "explained_variance": (pa.float32(), "share of the variance along the direction"),
            "note": (
                pa.string(),
                "why the direction means nothing: dead or no variance, and a sentence; else null",
            ),
            "threshold": (
                pa.float32(),
                "least |phi - b| among the top pictures",
            ),
            "quantile_98": (pa.float32(), "98 % quantile of |phi - b| over all pictures"),
            "share": (pa.float32(), "share of the pictures whose |phi - b| reaches the threshold"),
            "participation": (
                pa.float32(),
                "effective share of pictures, (sum x^2)^2 / (count sum x^4) of x = |phi - b|",
            ),
            "count": (pa.int64(), "pictures that the neuron was seen on"),
            "top_images": (
                list_of(pa.int64()),
                "index of the pictures of greatest |phi - b|, -1 if unused [top]",
            ),
            "top_norms": (list_of(pa.float32()), "their |phi - b| [top]"),
            "top_projections": (list_of(pa.float32()), "their phi - b along the direction [top]"),
        },
        nullable=("note",),
    )


def descriptions() -> pa.Schema:
    """Each neuron's direction as a sparse sum of many texts, a row per text: for the paper's claims."""
    return described(
        "descriptions",
        {
            "layer": LAYER,
            "neuron": NEURON,
            "atom": (pa.int16(), "place of the text in the decomposition, 0 is the first found"),
            "text": (pa.string(), "the text"),
            "text_index": (pa.int32(), "number of the text in its pool"),
            "weight": (pa.float32(), "its coefficient, with sign"),
            "residual": (pa.float32(), "|r - r_hat| after this text was added"),
        },
    )


def neuron_words() -> pa.Schema:
    """The few words that a describer gives each neuron, a row per word; no row for a neuron that it says nothing of."""
    return described(
        "neuron_words",
        {
            "layer": LAYER,
            "neuron": NEURON,
            "place": (pa.int16(), "place of the word, 0 is the one of largest absolute weight"),
            "text": (pa.string(), "the word"),
            "text_index": (pa.int32(), "number of the word in its pool"),
            "weight": (pa.float32(), "its weight; negative where the neuron writes against it"),
        },
    )


def pursuits() -> pa.Schema:
    """How well the long and the short description of each neuron are determined, a row per neuron."""
    return described(
        "pursuits",
        {
            "layer": LAYER,
            "neuron": NEURON,
            "atoms": (pa.int16(), "texts of the long description, the table descriptions"),
            "residual": (pa.float32(), "|r - r_hat| of the long description"),
            "condition": (pa.float32(), "condition number of its texts, each of unit norm"),
            "largest_weight": (pa.float32(), "length of its longest summand, |weight| |text|"),
            "note": (pa.string(), "ill-conditioned: ..., where that is too much; else null"),
            "words": (pa.int16(), "texts of the short description, the table neuron_words"),
            "words_residual": (pa.float32(), "|r - r_hat| of the short description"),
            "words_condition": (pa.float32(), "condition number of its texts"),
            "words_largest_weight": (pa.float32(), "length of its longest summand"),
            "words_note": (
                pa.string(),
                "ill-conditioned: ..., where that is too much and no words are given; else null",
            ),
        },
        nullable=("note", "words_note"),
    )


def pools() -> pa.Schema:
    """What a prepared pool of texts allows, one row."""
    return described(
        "pools",
        {
            "texts": (pa.int32(), "texts of the pool"),
            "rank": (pa.int32(), "axes of the joint space along which they extend"),
            "alike": (pa.int32(), "texts that have another one before them with a cosine > 0.99"),
            "text": (pa.string(), "one of the two texts of largest cosine, null if none is alike"),
            "other": (pa.string(), "the other one"),
            "cosine": (pa.float32(), "their cosine"),
        },
        nullable=("text", "other", "cosine"),
    )


def manifest() -> pa.Schema:
    """What a stage has committed, a row per object (one for a commit without any); derived from the commits."""
    return described(
        "manifest",
        {
            "shard": (pa.string(), "name of the shard"),
            "table": (pa.string(), "name of the table"),
            "key": (pa.string(), "the object, relative to the run"),
            "size": (pa.int64(), "its length in bytes"),
            "sha256": (pa.string(), "its digest, hexadecimal"),
            "rows": (pa.int64(), "rows of the table in this shard"),
            "failed": (pa.int64(), "pictures of the shard that could not be processed"),
            "seconds": (pa.float64(), "time that the shard took"),
            "attempt": (pa.string(), "attempt that committed it"),
            "stamp": (pa.string(), "the store's mark of the marker, in a shard's first row"),
            "marker": (pa.string(), "the marker's content as JSON, in a shard's first row"),
        },
        nullable=("table", "key", "size", "sha256", "rows", "stamp", "marker"),
    )


def text_embeddings() -> pa.Schema:
    """A text pool as the text tower encodes it, a row per text."""
    return described(
        "text_embeddings",
        {
            "text_index": (pa.int32(), "number of the text in its pool"),
            "text": (pa.string(), "the text"),
            "note": TEXT_NOTE,
            "embedding": (list_of(pa.float32()), "M_text, not normalised [embed]"),
        },
        nullable=("note",),
    )
