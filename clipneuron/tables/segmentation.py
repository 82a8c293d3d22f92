"""The tables of segmentation: the neurons of each class, what maps come to on each picture, and the matrix."""

import pyarrow as pa

from clipneuron.tables.columns import IMAGE, INDEX, LAYER, NEURON, NOTE, REASON, STATUS, described

METHOD = (pa.string(), "how the map is made")
PROTOCOL = (pa.string(), "how it is judged: text/alignment/threshold/upsampling")


def class_neurons() -> pa.Schema:
    """The neurons whose activations make a class's maps, and what each counts: a row per class, choice and neuron."""
    return described(
        "class_neurons",
        {
            "label": (pa.int32(), "number of the class"),
            "name": (pa.string(), "its name"),
            "choice": (
                pa.string(),
                '"absolute": by |<r, M_text(c)>|, all alike; "signed", "weighted": the same, by their sign or by '
                '<r, M_text(c)>; "random": drawn from the same layers',
            ),
            "layer": LAYER,
            "neuron": NEURON,
            "weight": (pa.float32(), "what its activations are multiplied by"),
        },
    )


def segmentations() -> pa.Schema:
    """What a map comes to on a picture, a row per picture, class of its masks, method and protocol.

    Counts are of pixels of the model's input, without those whose class is unknown. A picture that cannot be used, or
    whose masks cannot, is one row with its status and reason.
    """
    counts = {
        "tp": "pixels of the class that the map has in front",
        "fp": "pixels of anything else that it has in front",
        "fn": "pixels of the class that it has behind",
        "tn": "pixels of anything else that it has behind",
    }
    scores = {
        "ap": "average precision of the map for the class and its complement for the rest, ranked together",
        "ap_sides": "mean of the two, ranked apart",
        "f1": "F1 of the pixels in front",
        "cut": "the threshold, on the map's scale from 0 to 1",
    }
    return described(
        "segmentations",
        {
            "index": INDEX,
            "image": IMAGE,
            "status": STATUS,
            "reason": REASON,
            "note": NOTE,
            "class": (pa.string(), "class of the mask"),
            "text": (pa.string(), "class whose text the map is made for"),
            "method": METHOD,
            "protocol": PROTOCOL,
            **{name: (pa.int64(), words) for name, words in counts.items()},
            **{name: (pa.float32(), words) for name, words in scores.items()},
        },
        nullable=(
            "reason", "note", "class", "text", "method", "protocol", *counts, *scores,
        ),
    )  # fmt: skip


METRICS = {
    "pixel_accuracy": "pixels that are right, of all that are known",
    "miou": "mean over front and back of summed intersections over summed unions",
    "map": "mean over maps of `ap`",
    "f1": "mean over maps of `f1`",
}
"""What methods are compared by, and what it is."""


def segmentation_scores() -> pa.Schema:
    """The matrix: what a method comes to under a protocol over all pictures, with 95 % bootstrap intervals."""
    columns: dict[str, tuple[pa.DataType, str]] = {}
    for name, words in METRICS.items():
        columns |= {
            name: (pa.float64(), words),
            f"{name}_low": (pa.float64(), "lower end of its interval"),
            f"{name}_high": (pa.float64(), "upper end"),
            f"{name}_over": (
                pa.float64(),
                "less that of second-order under the same protocol, picture by picture; null without it",
            ),
            f"{name}_over_low": (pa.float64(), "lower end of its interval"),
            f"{name}_over_high": (pa.float64(), "upper end"),
            f"{name}_control": (
                pa.float64(),
                "less its own with another class's text; null where the protocol has no such control",
            ),
            f"{name}_control_low": (pa.float64(), "lower end of its interval"),
            f"{name}_control_high": (pa.float64(), "upper end"),
        }
    return described(
        "segmentation_scores",
        {
            "method": METHOD,
            "protocol": PROTOCOL,
            "images": (pa.int64(), "pictures"),
            "maps": (pa.int64(), "pictures and classes of their masks"),
            **columns,
        },
        nullable=[name for name in columns if "_over" in name or "_control" in name],
    )
