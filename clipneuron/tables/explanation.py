"""The tables of the truth of words: what neurons write on held-out pictures, what is true of these, and the scores."""

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
    described,
    list_of,
)

BY = (pa.string(), "the witness, which said what is true of pictures")
DESCRIBER = (pa.string(), "who gave the neuron its words")


def projections(layers: Sequence[int], neurons: int) -> pa.Schema:
    """What every neuron writes along its direction on each held-out picture, a row per picture."""
    written = list_of(pa.float32(), neurons)
    return described(
        "projections",
        {
            "index": INDEX,
            "image": IMAGE,
            "label": LABEL,
            "status": STATUS,
            "reason": REASON,
            "note": NOTE,
            "half": (
                pa.string(),
                "fit: describers that learn from pictures see it; score: scores do",
            ),
            "embedding": (list_of(pa.float32()), "M_image of unit length, null if it failed"),
        }
        | {
            f"layer_{layer}": (
                written,
                f"<phi - b, r> of the neurons of layer {layer}, null if it failed",
            )
            for layer in layers
        },
        nullable=(
            "label", "reason", "note", "embedding", *(f"layer_{layer}" for layer in layers),
        ),
    )  # fmt: skip


def patch_activations(layers: Sequence[int], neurons: int) -> pa.Schema:
    """Activations averaged over a picture's patches, a row per usable picture of the half `fit` (CLIP-Dissect)."""
    kind = list_of(pa.float32(), neurons)
    return described(
        "patch_activations",
        {"index": INDEX}
        | {
            f"layer_{layer}": (kind, f"mean over patches of the activations of layer {layer}")
            for layer in layers
        },
    )


def acting_effects() -> pa.Schema:
    """Sums over the pictures of a shard on which a neuron acts: |phi - b| above its threshold, along its direction."""
    return described(
        "acting_effects",
        {
            "layer": LAYER,
            "neuron": NEURON,
            "count": COUNT,
            "coefficients": (list_of(pa.float32()), "sum of their centred coefficients s [path]"),
            "coordinates": (list_of(pa.float32()), "sum of their centred remainders [axis]"),
        },
    )


def statements() -> pa.Schema:
    """Which texts of the pool are true of a held-out picture, as a witness says that needs no model."""
    return described(
        "statements",
        {
            "index": INDEX,
            "texts": (list_of(pa.int32()), "numbers of the texts that are true of it, rising"),
            "by": BY,
        },
    )


def witness_embeddings() -> pa.Schema:
    """A held-out picture as another CLIP sees it."""
    return described(
        "witness_embeddings",
        {
            "index": INDEX,
            "image": IMAGE,
            "label": LABEL,
            "status": STATUS,
            "reason": REASON,
            "note": NOTE,
            "embedding": (
                list_of(pa.float32()),
                "M_image of unit length of the witness, null if it failed",
            ),
            "by": BY,
        },
        nullable=("label", "reason", "note", "embedding"),
    )


def scores() -> pa.Schema:
    """How true the words of each neuron are on the pictures of the half `score`, a row per neuron and describer."""
    judged = {
        "correlation": "Pearson's correlation of what it writes and the signed sum of its words' truth",
        "auprc": "average precision of its ranking of pictures for its words, by their signs",
        "f1": "F1 of the pictures it writes most on and those its words are true of",
        "iou": "intersection over union of the same",
    }
    columns: dict[str, tuple[pa.DataType, str]] = {}
    for name, words in judged.items():
        columns |= {
            name: (pa.float32(), f"{words}; NaN for a neuron that writes the same everywhere"),
            f"{name}_low": (pa.float32(), "lower end of its 95 % interval"),
            f"{name}_high": (pa.float32(), "upper end"),
        }
    return described(
        "scores",
        {
            "layer": LAYER,
            "neuron": NEURON,
            "describer": DESCRIBER,
            "by": BY,
            **columns,
            "base_rate": (pa.float32(), "auprc of a random ranking: how often its words are true"),
            "auc": (pa.float32(), "for comparability only: it hardly notices wrong words"),
            "known": (pa.float32(), "share of its words' weights that the witness can judge"),
        },
    )


def output_scores() -> pa.Schema:
    """Do words say which classes' logits move when a neuron is held at its mean? A row per neuron and describer."""
    return described(
        "output_scores",
        {
            "layer": LAYER,
            "neuron": NEURON,
            "describer": DESCRIBER,
            "count": (pa.int64(), "pictures on which the neuron acts"),
            "rank_correlation": (
                pa.float32(),
                "Spearman's, over classes, of <sum of its words, class> and what the neuron adds to the class's "
                "logit on them; NaN for a neuron that never acts",
            ),
        },
    )


def painted_words() -> pa.Schema:
    """Pictures of the leading words of some neurons, as a text-to-image model paints them: a row per picture."""
    return described(
        "painted_words",
        {
            "layer": LAYER,
            "text": (pa.string(), "the word"),
            "copy": (pa.int16(), "number of the picture of that word"),
            "caption": (pa.string(), "what it was painted from"),
            "seed": (pa.int64(), "seed of the picture"),
            "painter": (pa.string(), "name of the painter"),
            "image": (pa.binary(), "PNG, null if there is none"),
            "status": STATUS,
            "reason": REASON,
        },
        nullable=("image", "reason"),
    )


def cosy_scores() -> pa.Schema:
    """CoSy's AUC and MAD of the leading words of some neurons, a row per neuron and describer."""
    columns: dict[str, tuple[pa.DataType, str]] = {}
    for name, what in (
        ("", "the mean activation of its patches, as in CoSy"),
        ("written_", "what it writes along r"),
    ):
        columns |= {
            f"{name}auc": (
                pa.float32(),
                f"how often {what} is greater on a painted than on a control picture",
            ),
            f"{name}mad": (
                pa.float32(),
                f"the mean difference of {what}, in the control pictures' standard deviations",
            ),
        }
    return described(
        "cosy_scores",
        {
            "layer": LAYER,
            "neuron": NEURON,
            "describer": DESCRIBER,
            "text": (pa.string(), "its first word of positive weight, null if it has none"),
            "painted": (
                pa.int32(),
                "pictures of it that could be painted and read; without one there are no scores",
            ),
            **columns,
        },
        nullable=("text", *columns),
    )
