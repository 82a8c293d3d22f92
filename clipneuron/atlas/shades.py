"""Values over the patches of a picture as bytes, a byte each: 128 is 0, 255 is 1 and 1 is -1."""

import numpy as np
from numpy.typing import NDArray

ZERO, FULL = 128, 127


def encoded(shares: NDArray[np.floating]) -> NDArray[np.uint8]:
    """The bytes of values from -1 to 1, of the same shape."""
    found: NDArray[np.uint8] = np.rint(ZERO + FULL * shares).astype(np.uint8)
    return found
