"""From the bytes of a picture to the numbers a vision tower reads, exactly as open_clip gets there.

The work is split where machines differ: `Preprocess.decode` (decode, resize, crop) runs on any CPU
without the model and yields bytes, four times smaller than floats to send; `Preprocess.normalize` runs
where the model is.
"""

import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from open_clip.transform import MaybeToTensor, Normalize, PreprocessCfg, image_transform_v2
from PIL import Image, UnidentifiedImageError
from torch import Tensor

MAX_PIXELS = 178_956_970  # where Pillow itself refuses a picture as a decompression bomb


class PictureError(ValueError):
    """A picture that cannot be read: `status` is one word to count by, `reason` a sentence for people.

    Statuses: empty, not_an_image, truncated, corrupt, too_large.
    """

    def __init__(self, status: str, reason: str):
        super().__init__(status, reason)
        self.status = status
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


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

    @classmethod
    def of_tower(cls, visual: Any) -> "Preprocess":
        """The preprocessing an open_clip image tower was made for; OpenAI's where it says nothing."""
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

    def decode(self, data: bytes, name: str = "picture") -> UInt8[Tensor, "3 height width"]:
        """The picture resized and cropped; raises PictureError, which names it, if that fails."""
        if not data:
            raise PictureError("empty", f"{name}: the file is empty")
        try:
            with _quiet_pillow(), Image.open(BytesIO(data)) as image:
                self._check_size(image.size, name)
                image.load()
                return _tensor(self._resize(image))
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
        pixels: Tensor,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Float[Tensor, "*image 3 height width"]:
        """(pixels / 255 - mean) / std of uint8 pixels [*image, 3, height, width].

        The result is on `device`, where the pixels travel as bytes, or where they are.
        """
        if pixels.dtype != torch.uint8:
            raise ValueError(f"expected uint8 pixels as `decode` yields them, got {pixels.dtype}")
        values = pixels.to(device or pixels.device).to(dtype).div_(255)
        mean = torch.tensor(self.mean, dtype=dtype, device=values.device)[:, None, None]
        std = torch.tensor(self.std, dtype=dtype, device=values.device)[:, None, None]
        return values.sub_(mean).div_(std)

    @cached_property
    def _resize(self) -> Any:
        """open_clip's transform without its last two steps, which `normalize` does on the device."""
        config = PreprocessCfg(
            size=self.size,
            mean=self.mean,
            std=self.std,
            interpolation=self.interpolation,
            resize_mode=self.resize_mode,
            fill_color=self.fill_color,
        )
        transform = image_transform_v2(config, is_train=False)
        *steps, to_tensor, normalize = transform.transforms
        if not isinstance(to_tensor, MaybeToTensor) or not isinstance(normalize, Normalize):
            raise TypeError("open_clip's transform no longer ends in ToTensor and Normalize")
        return type(transform)(steps)

    def _check_size(self, size: tuple[int, int], name: str) -> None:
        width, height = size
        resized = self._resized_pixels(width, height)
        if max(width * height, resized) > self.max_pixels:
            raise PictureError(
                "too_large",
                f"{name}: {width} x {height} pixels ({resized} once resized) are more than the "
                f"limit of {self.max_pixels}",
            )

    def _resized_pixels(self, width: int, height: int) -> int:
        """Pixels between resizing and cropping: many for a picture one pixel high and very wide."""
        if self.resize_mode != "shortest":
            return self.size[0] * self.size[1]
        ratio = max(self.size[0] / height, self.size[1] / width)
        return round(width * ratio) * round(height * ratio)


def _tensor(image: Image.Image) -> UInt8[Tensor, "3 height width"]:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


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
