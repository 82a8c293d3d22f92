"""Picture files opened with Pillow, whatever is wrong with them."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

from PIL import Image, UnidentifiedImageError

from clipneuron.models.clip.preprocessing.contents import PictureError, without_texts

MAX_PIXELS = 178_956_970  # where Pillow itself refuses a picture as a decompression bomb


@contextmanager
def opened(data: bytes, name: str) -> Iterator[Image.Image]:
    """The picture, whose pixels are read when they are asked for; raises PictureError, which names it, also within."""
    if not data:
        raise PictureError("empty", f"{name}: the file is empty")
    try:
        with _quiet_pillow(), Image.open(BytesIO(without_texts(data))) as image:
            yield image
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
