"""The pixels of mask files: values that stand for classes, or one class and nothing else."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int32, Shaped, UInt8
from numpy.typing import NDArray
from PIL import Image

from clipneuron.data.masks.maps import BACKGROUND, LabelMap, MaskError
from clipneuron.data.masks.names import LARGEST, ValueNames
from clipneuron.models.clip.preprocessing.contents import PictureError
from clipneuron.models.clip.preprocessing.files import opened

Values = Shaped[np.ndarray, "height width *colours"]

_FEW = 32
"""Below this greatest value, a mask with three values or more is one of classes, not a blurred one."""
_SHOWN = 5
_LOSSY = ("JPEG", "MPO")
_CODE = np.array([2**16, 2**8, 1], np.int32)
"""From a colour to one number."""


def label_map(data: bytes, name: str, names: ValueNames) -> LabelMap:
    """The label map of a file whose values stand for classes; raises MaskError.

    A value without a name is something else than all classes, and so background; its note says so. Where no value has
    a name, the names are others' and the mask is refused.
    """
    values = _values(data, name)
    there = np.flatnonzero(np.bincount(values.ravel()))
    strange = [
        v for v in there.tolist() if v not in {*names.names, *names.background, *names.unknown}
    ]
    if strange and not any(value in names.names for value in there.tolist()):
        raise MaskError(
            "other_values",
            f"{name}: it holds {_shown(strange)}, none of which has a name: check the names of classes, which are for "
            f"{_shown([*names.names])}",
        )
    labels = np.full(LARGEST + 1, BACKGROUND, np.int32)
    labels[[*names.first]] = [*names.first.values()]
    unknown = np.zeros(LARGEST + 1, np.bool_)
    unknown[[*names.unknown]] = True
    note = f"without a name and so background: {_shown(strange)}" if strange else ""
    return LabelMap(labels[values], unknown[values], note=note)


def areas(found: LabelMap) -> dict[int, int]:
    """How many known pixels each value has that there are any of."""
    known = found.labels[(found.labels != BACKGROUND) & ~found.unknown]
    counts = np.bincount(known)
    return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}


def foreground(data: bytes, name: str) -> Bool[np.ndarray, "height width"]:
    """The pixels of a file's one class: those above half its greatest value, or its opaque ones; raises MaskError."""
    grey = _grey(data, name)
    least, greatest = grey.min(), grey.max()
    if greatest < _FEW and len(np.unique(grey)) > 2:
        raise MaskError(
            "other_values",
            f"{name}: it holds {_shown(np.unique(grey).tolist())}, which stand for several classes: give their names",
        )
    # What is all white is all of the class; what is all black has nothing of it.
    inside: NDArray[np.bool_] = grey > (greatest / 2 if greatest > 0 else least)
    return inside


def voc_palette() -> UInt8[np.ndarray, "value 3"]:
    """The colours of Pascal VOC's 256 values: the bits of a value, three by three, from the colours' highest bit on.

    >>> voc_palette()[[0, 1, 2, 15, 255]].tolist()
    [[0, 0, 0], [128, 0, 0], [0, 128, 0], [192, 128, 128], [224, 224, 192]]
    """
    values = np.arange(256)[:, None]
    colours = np.arange(3)[None]
    bits = [(values >> (3 * place + colours) & 1) << (7 - place) for place in range(8)]
    palette: NDArray[np.uint8] = np.sum(bits, axis=0).astype(np.uint8)
    return palette


def has_voc_palette(data: bytes) -> bool:
    """Whether this is a picture with the palette of Pascal VOC."""
    try:
        with opened(data, "mask") as image:
            palette = image.getpalette() or [] if image.mode == "P" else []
            return len(palette) >= 63 and palette[:63] == voc_palette()[:21].ravel().tolist()
    except PictureError:
        return False


class _Read(NamedTuple):
    """A picture as Pillow reads it."""

    values: Values
    mode: str
    format: str


def _read(data: bytes, name: str, values: Callable[[Image.Image], Values]) -> _Read:
    try:
        with opened(data, name) as image:
            image.load()
            return _Read(values(image), image.mode, image.format or "")
    except PictureError as error:
        raise MaskError(error.status, error.reason) from error


def _colours(image: Image.Image) -> Values:
    """Grey, red, green and blue, or places in a palette; never an opacity."""
    if image.mode in ("LA", "La", "PA"):
        return np.asarray(image.getchannel(0))
    return np.asarray(image.convert("RGB") if image.mode in ("RGBA", "RGBa", "CMYK") else image)


def _brightness(image: Image.Image) -> Values:
    """How much each pixel is of the one class: what is not transparent where that varies, otherwise what is bright.

    Of colours in a palette, whose order is that of classes, the later ones are more of it.
    """
    opacity = _opacity(image)
    if opacity is not None and opacity.min() < opacity.max():
        return opacity
    if image.mode in ("P", "PA"):
        shown = np.asarray(image.convert("RGB"))
        if (shown == shown[..., :1]).all():
            return shown[..., 0]
    values = _colours(image)
    return values.max(-1) if values.ndim == 3 else values


def _opacity(image: Image.Image) -> UInt8[np.ndarray, "height width"] | None:
    opaque = image.mode not in ("LA", "La", "PA", "RGBA", "RGBa")
    if opaque and "transparency" not in image.info:
        return None
    return np.asarray(image.convert("RGBA").getchannel("A"))


def _values(data: bytes, name: str) -> Int32[np.ndarray, "height width"]:
    """A value per pixel, from 0 on."""
    read = _read(data, name, _colours)
    if read.format in _LOSSY:
        raise MaskError(
            "other_values",
            f"{name}: a {read.format} changes values, so that they stand for no classes: expected PNG, or another "
            "format that keeps them",
        )
    values = read.values if read.values.ndim == 2 else _by_colour(read.values, name)
    least, greatest = values.min(), values.max()
    if values.dtype.kind == "f" or least < 0 or greatest > LARGEST:
        raise MaskError(
            "other_values",
            f"{name}: its values are {least:,.6g} to {greatest:,.6g} ({read.mode}): expected whole numbers from 0 to "
            f"{LARGEST:,}",
        )
    return values.astype(np.int32)


def _by_colour(
    colours: Shaped[np.ndarray, "height width colour"], name: str
) -> Shaped[np.ndarray, "height width"]:
    """The values of a mask in colours: grey, or those of Pascal VOC's palette."""
    if (colours == colours[..., :1]).all():
        return colours[..., 0]
    codes = colours.astype(np.int32) @ _CODE
    palette = voc_palette().astype(np.int32) @ _CODE
    order = palette.argsort()
    values: NDArray[np.int64] = order[np.searchsorted(palette, codes, sorter=order).clip(max=255)]
    strange = colours[palette[values] != codes]
    if len(strange):
        raise MaskError(
            "other_values",
            f"{name}: it holds the colour {tuple(strange[0].tolist())}, which is none of Pascal VOC's palette: "
            "expected one value per pixel, in grey or with a palette",
        )
    return values


def _grey(data: bytes, name: str) -> Shaped[np.ndarray, "height width"]:
    values = _read(data, name, _brightness).values
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise MaskError("other_values", f"{name}: it holds values that are NaN or infinite")
    return values


def _shown(values: list[int]) -> str:
    more = f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else ""
    return (
        f"{'values' if len(values) > 1 else 'value'} {', '.join(map(str, values[:_SHOWN]))}{more}"
    )
