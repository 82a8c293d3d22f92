"""From the bytes of a picture to the numbers a vision tower reads, exactly as open_clip gets there.

The work is split where machines differ: `Preprocess.decode` (decode, resize, crop) runs on any CPU
without the model and without torch, and yields bytes, four times smaller than floats to send;
`Preprocess.normalize` runs where the model is. Processes that only decode must not pay for torch, so
this module imports it where it is called for.
"""

import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from clipneuron.lens.options import HighDepth
from clipneuron.models.clip.preprocessing.contents import PictureError, shallow, without_texts
from clipneuron.models.clip.preprocessing.pixels import Frame

if TYPE_CHECKING:
    import torch

__all__ = ["MAX_PIXELS", "Decoded", "PictureError", "Preprocess"]

MAX_PIXELS = 178_956_970  # where Pillow itself refuses a picture as a decompression bomb


class Decoded(NamedTuple):
    """A picture as a tower reads it, and what is to be said of it."""

    pixels: UInt8[np.ndarray, "3 height width"]
    note: str
    """Why the model does not see what people see: `clipped`, `scaled` or `one colour`, a colon and the figures."""


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
        self._frame.check()

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
        if not data:
            raise PictureError("empty", f"{name}: the file is empty")
        try:
            with _quiet_pillow(), Image.open(BytesIO(without_texts(data))) as image:
                self._check_size(image.size, name)
                image.load()
                fitting, note = shallow(image, self.high_depth, name)
                pixels = self._frame.pixels(fitting)
                return Decoded(pixels, "; ".join(filter(None, (note, _one_colour(pixels)))))
        except (PictureError, MemoryError):
            raise
        except UnidentifiedImageError:
            reason = f"{name}: not a picture in a format Pillow knows"
            raise PictureError("not_an_image", reason) from None
        except Image.DecompressionBombError as error:
            raise PictureError("too_large", f"{name}: {error}") from error
        except Exception as error:  # on broken bytes Pillow's plugins raise anything at all
            status = "truncated" if "truncated" in str(error).lower() else "corrupt"
            raise PictureError(status, f"{name}: {type(error).__name__}: {error}") from error

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

    @cached_property
    def _frame(self) -> Frame:
        return Frame(
            size=self.size,
            interpolation=self.interpolation,
            resize_mode=self.resize_mode,
            fill_color=self.fill_color,
        )

    def _check_size(self, size: tuple[int, int], name: str) -> None:
        width, height = size
        resized = prod(self._frame.resized_size(height, width))
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


_quiet_lock = threading.Lock()
_quiet: list[Any] = []
_readers = 0


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Keep Pillow's warnings about pictures (size, EXIF, transparency) from the user's terminal.

    warnings.catch_warnings alone is not safe in threads: the last of several overlapping blocks would
    restore the silence of another. So the first reader in silences, and the last one out restores.
    """
    global _readers
    with _quiet_lock:
        _readers += 1
        if _readers == 1:
            _quiet.append(warnings.catch_warnings())
            _quiet[0].__enter__()
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        yield
    finally:
        with _quiet_lock:
            _readers -= 1
            if _readers == 0:
                _quiet.pop().__exit__(None, None, None)
