"""The supported architecture that comes nearest to one that is not."""

from math import inf, log

_ARCHITECTURES = (
    # open_clip's name, parameters of the image tower, patch size
    ("ViT-B-32", 88e6, 32),
    ("ViT-B-16", 86e6, 16),
    ("ViT-L-14", 304e6, 14),
    ("ViT-H-14", 632e6, 14),
    ("ViT-g-14", 1012e6, 14),
    ("ViT-bigG-14", 1845e6, 14),
)
_EQUAL = 1.1
"""Of two towers that differ by less than this factor, the patch size decides."""


def nearest(parameters: float, patch: float) -> str:
    """The name of the architecture whose image tower is nearest in size, then in patch size.

    >>> nearest(93e6, 16)
    'ViT-B-16'
    """
    return min(
        _ARCHITECTURES, key=lambda known: (_distance(known[1], parameters), abs(known[2] - patch))
    )[0]


def _distance(first: float, second: float) -> int | float:
    return int(abs(log(first / second)) / log(_EQUAL)) if second > 0 else inf
