"""What contact sheets of all reports share: their measures, colours and tiles."""

import io

from PIL import Image, ImageOps

TILE, GAP, LABEL_WIDTH, HEADER = 96, 6, 250, 30
"""In pixels."""

INK, FAINT, PAPER, RED = (20, 20, 20), (110, 110, 110), (255, 255, 255), (210, 40, 40)


def png(picture: Image.Image) -> bytes:
    """The picture as PNG."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def tile(data: bytes) -> Image.Image:
    """The picture's centre square, which the model sees; a small picture is enlarged without blurring its pixels."""
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    small = min(picture.size) < TILE
    method = Image.Resampling.NEAREST if small else Image.Resampling.BICUBIC
    return ImageOps.fit(picture, (TILE, TILE), method)
