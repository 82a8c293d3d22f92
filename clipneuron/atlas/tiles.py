"""Pictures made small for pages, as WebP files; the same pixels give the same bytes."""

from dataclasses import asdict, dataclass
from io import BytesIO

import numpy as np
from jaxtyping import UInt8
from PIL import Image


@dataclass(frozen=True)
class Sizes:
    """How small pictures become."""

    tile: int
    """Side of the small ones, in pixels, at most."""
    large: int
    """Side of those of a page of their own, at most."""
    quality: int
    """Of WebP, 1 to 100."""

    @property
    def identity(self) -> dict[str, object]:
        """As plain values."""
        return asdict(self)


def shrunk(pixels: UInt8[np.ndarray, "height width 3"], sizes: Sizes) -> dict[str, int | bytes]:
    """The columns of the table `thumbnails` that hold the two pictures; the small one alone where it is the whole."""
    found: dict[str, int | bytes] = {}
    small = max(pixels.shape[:2]) <= sizes.tile
    for name, side in (("tile", sizes.tile), *(() if small else (("large", sizes.large),))):
        picture = Image.fromarray(np.ascontiguousarray(pixels))
        picture.thumbnail((side, side), Image.Resampling.LANCZOS)
        file = BytesIO()
        picture.save(file, "webp", quality=sizes.quality, method=4)
        found |= {name: file.getvalue()}
        found |= {f"{name}_width": picture.width, f"{name}_height": picture.height}
    return found
