"""The tables of an atlas: which pictures its pages show, how they look and why, and the pages themselves."""

import pyarrow as pa

from clipneuron.tables.columns import (
    IMAGE,
    INDEX,
    LAYER,
    NEURON,
    REASON,
    STATUS,
    described,
    list_of,
)
from clipneuron.tables.segmentation import METHOD


def shown_pictures() -> pa.Schema:
    """The pictures that the page of a neuron shows, a row per neuron and picture."""
    return described(
        "shown_pictures",
        {
            "layer": LAYER,
            "neuron": NEURON,
            "place": (pa.int16(), "place among its pictures, 0 is the first top picture"),
            "quantile": (
                pa.float32(),
                "share of the pictures with a smaller |phi - b|; null for a top picture",
            ),
            "index": INDEX,
            "norm": (pa.float32(), "|phi - b|"),
        },
        nullable=("quantile",),
    )


def active_neurons() -> pa.Schema:
    """The neurons of a layer that act most on a picture, a row per picture and neuron."""
    return described(
        "active_neurons",
        {
            "index": INDEX,
            "layer": LAYER,
            "neuron": NEURON,
            "excess": (pa.float32(), "|phi - b| over the neuron's threshold, at least 1"),
        },
    )


def thumbnails() -> pa.Schema:
    """Pictures as the model sees them, small, a row per picture that a page shows."""
    return described(
        "thumbnails",
        {
            "key": (pa.string(), "name of the picture in addresses of the site"),
            "image": IMAGE,
            "status": STATUS,
            "reason": REASON,
            "tile": (pa.binary(), "WebP, null if the picture cannot be read"),
            "tile_width": (pa.int16(), "pixels"),
            "tile_height": (pa.int16(), "pixels"),
            "large": (pa.binary(), "WebP of the picture's own page, null where it would be no larger"),
            "large_width": (pa.int16(), "pixels"),
            "large_height": (pa.int16(), "pixels"),
        },
        nullable=(
            "reason", "tile", "tile_width", "tile_height", "large", "large_width", "large_height",
        ),
    )  # fmt: skip


def heats() -> pa.Schema:
    """Where in a picture a neuron writes along its direction, a row per neuron and picture that its page shows."""
    return described(
        "heats",
        {
            "layer": LAYER,
            "neuron": NEURON,
            "index": INDEX,
            "effect": (pa.float32(), "<phi - b, r>"),
            "rows": (pa.int16(), "patches from top to bottom"),
            "scale": (pa.float32(), "the largest absolute share of a patch in <phi, r>"),
            "heat": (
                pa.binary(),
                "a byte per patch, row after row: 128 is 0, 255 is scale, 1 is -scale",
            ),
        },
    )


def class_maps() -> pa.Schema:
    """Where in a picture is the class that the model takes it for, a row per picture that has a page and method."""
    return described(
        "class_maps",
        {
            "key": (pa.string(), "name of the picture in addresses of the site"),
            "class": (pa.string(), "the class whose text the picture is nearest to"),
            "method": METHOD,
            "rows": (pa.int16(), "patches from top to bottom"),
            "scale": (pa.float32(), "the map's greatest value less its least one"),
            "map": (
                pa.binary(),
                "a byte per patch, row after row: 128 is the least value, 255 the greatest",
            ),
        },
    )


def neuron_profiles() -> pa.Schema:
    """How a neuron's effects are spread: over pictures, over directions and over later heads."""
    return described(
        "neuron_profiles",
        {
            "layer": LAYER,
            "neuron": NEURON,
            "edges": (list_of(pa.float32()), "edges of the histogram's bins of |phi - b|, rising"),
            "counts": (list_of(pa.int64()), "pictures in each"),
            "scree": (
                list_of(pa.float32()),
                "shares of the variance of the top effects along the first principal directions, falling",
            ),
            "heads": (
                list_of(pa.float32()),
                "share of each path, a later layer and head, in the top effects along r; the remainder has the rest "
                "[path]",
            ),
        },
    )


def near_neurons() -> pa.Schema:
    """The neurons of all layers whose directions are most alike, a row per neuron and place."""
    return described(
        "near_neurons",
        {
            "layer": LAYER,
            "neuron": NEURON,
            "place": (pa.int16(), "0 is the nearest"),
            "near_layer": (pa.int16(), "layer of the other neuron"),
            "near_neuron": (pa.int32(), "its number there"),
            "cosine": (pa.float32(), "of the two directions, sorted by its absolute value"),
        },
    )


def pages() -> pa.Schema:
    """Files of a site, a row per file."""
    return described(
        "pages",
        {
            "path": (pa.string(), "from the root of the site"),
            "content": (pa.binary(), "its bytes"),
            "sha256": (pa.string(), "their digest, hexadecimal"),
        },
    )
