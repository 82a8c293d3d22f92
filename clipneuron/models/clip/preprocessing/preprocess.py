"""From the bytes of a picture to the numbers a vision tower reads, exactly as open_clip gets there.

The work is split where machines differ: `Preprocess.decode` (decode, resize, crop) runs on any CPU
without the model and without torch, and yields bytes, four times smaller than floats to send;
`Preprocess.normalize` runs where the model is. Processes that only decode must not pay for torch, so
this module imports it where it is called for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import PIL
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import features

from clipneuron.lens.options import HighDepth
from clipneuron.models.clip.preprocessing.contents import PictureError, shallow
from clipneuron.models.clip.preprocessing.files import MAX_PIXELS, opened
from clipneuron.models.clip.preprocessing.pixels import Frame

if TYPE_CHECKING:
    import torch

__all__ = ["MAX_PIXELS", "Decoded", "PictureError", "Preprocess"]


_LIBRARIES = "libjpeg_turbo", "jpg", "jpg_2000", "webp", "avif", "libtiff"
"""Pillow's names of the libraries behind it whose versions may decode to other pixels."""


class Decoded(NamedTuple):
    """A picture as a tower reads it, and what is to be said of it."""

    pixels: UInt8[np.ndarray, "3 height width"]
    note: str
    """Why the model does not see what people see: `clipped`, `scaled` or `one colour`, a colon and the figures."""
    size: tuple[int, int]
    """Height and width of the picture itself."""


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """The pixels that open_clip's own transform of a model would make; picklable, holds no model."""

    size: tuple[int, int]
    """Height and width of the tower's input."""
    mean: tuple[float, float, float]
    """Per colour, subtracted from values in [0, 1]."""
    std: tuple[float, float, float]
    """Per colour, divided by after that."""
    interpolation: str = "bicubic"
    """open_clip's name of the resampling: bicubic or bilinear."""
    resize_mode: str = "shortest"
    """shortest: fill the frame and crop; longest: fit into it and pad; squash: ignore the aspect."""
    fill_color: int = 0
    """What resize_mode="longest" pads with."""
    max_pixels: int = MAX_PIXELS
    """Larger pictures, before or after resizing, are refused; Pillow's own limit holds besides."""
    high_depth: HighDepth = field(default="clip", repr=False)
    """What becomes of grey pictures of more than 8 bits a value; not in the repr, which identifies runs of old."""

    def __post_init__(self) -> None:
        self.frame.check()

    @classmethod
    def of_tower(cls, visual: Any) -> "Preprocess":
        """The preprocessing an open_clip image tower was made for; OpenAI's where it says nothing."""
        from open_clip.transform import PreprocessCfg

        config = PreprocessCfg(**getattr(visual, "preprocess_cfg", {}))
        height, width = visual.image_size
        return cls(
            size=(height, width),
            mean=_per_colour(config.mean),
            std=_per_colour(config.std),
            interpolation=config.interpolation,
            resize_mode=config.resize_mode,
            fill_color=config.fill_color,
        )

    def decode(self, data: bytes, name: str = "picture") -> UInt8[np.ndarray, "3 height width"]:
        """The picture resized and cropped; raises PictureError, which names it, if that fails."""
        return self.read(data, name).pixels

    def read(self, data: bytes, name: str = "picture") -> Decoded:
        """What `decode` gives, with a note where the content was lost or changed on the way; raises as it does."""
        with opened(data, name) as image:
            self._check_size(image.size, name)
            image.load()
            fitting, note = shallow(image, self.high_depth, name)
            pixels = self.frame.pixels(fitting)
            said = "; ".join(filter(None, (note, _one_colour(pixels))))
            return Decoded(pixels, said, (image.height, image.width))

    def normalize(
        self,
        pixels: "torch.Tensor | NDArray[Any]",
        device: "torch.device | str | None" = None,
        dtype: "torch.dtype | None" = None,
    ) -> "torch.Tensor":
        """(pixels / 255 - mean) / std of uint8 pixels [*image, 3, height, width], arrays or tensors.

        The result is on `device`, where the pixels travel as bytes, or where they are; float32 unless
        `dtype` says otherwise.
        """
        from clipneuron.models.clip.preprocessing.normalization import normalized

        return normalized(pixels, self.mean, self.std, device, dtype)

    @property
    def transform(self) -> str:
        """What decides the pixels of `decode`, besides the picture: this, and the libraries that decode and resize."""
        versions = [features.version(name) for name in _LIBRARIES]
        return repr((self.frame, self.max_pixels, self.high_depth, PIL.__version__, versions))

    @cached_property
    def frame(self) -> Frame:
        """How it resizes, crops and pads."""
        return Frame(
            size=self.size,
            interpolation=self.interpolation,
            resize_mode=self.resize_mode,
            fill_color=self.fill_color,
        )

    def _check_size(self, size: tuple[int, int], name: str) -> None:
        width, height = size
        resized = prod(self.frame.resized_size(height, width))
        if max(width * height, resized) > self.max_pixels:
            raise PictureError(
                "too_large",
                f"{name}: {width} x {height} pixels ({resized} once resized) are more than the "
                f"limit of {self.max_pixels}",
            )


def _one_colour(pixels: UInt8[np.ndarray, "3 height width"]) -> str:
    """What to say of pixels that are all alike."""
    first = pixels[:, :1, :1]
    alike = (pixels[:, 0] == first[:, 0]).all() and (pixels == first).all()
    return f"one colour: every pixel is {tuple(first[:, 0, 0].tolist())}" if alike else ""


def _per_colour(value: float | Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = value if isinstance(value, Sequence) else (value,) * 3
    return red, green, blue
