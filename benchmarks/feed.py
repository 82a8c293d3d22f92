"""What a core spends on a picture before a model sees it, and ways to spend less, each held against open_clip's pixels.

    python benchmarks/feed.py                          # 500 x 375 JPEGs, made of noise, 110 KB each
    python benchmarks/feed.py --pictures 50 --repeats 10 --upright

Times are core-ms per picture, the least of the repeats, all ways in turn in each repeat. "differing" counts the values,
of 224 x 224 x 3 of all pictures, that are not those of open_clip's own transform. Ways with torch are here for
comparison: processes that decode pictures start without torch.
"""

import argparse
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import open_clip
import torch
from machine import describe
from numpy.typing import NDArray
from PIL import Image, features
from shards import picture
from timing import least
from torch.nn.functional import interpolate
from torchvision.io import decode_jpeg

from clipneuron.models.clip.preprocessing.preprocess import Preprocess

SIZE = 224
MEAN, STD = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
OURS = Preprocess(size=(SIZE, SIZE), mean=MEAN, std=STD)
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Way:
    """One way from a file to pixels [3, height, width]."""

    seconds: float
    differing: int


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--upright", action="store_true", help="375 x 500 instead")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    pictures = [made(seed, arguments.upright) for seed in range(arguments.pictures)]
    print(
        f"{describe()}; Pillow {Image.__version__}, libjpeg-turbo {features.version('libjpeg_turbo')}"
    )
    found = ways(pictures, arguments.repeats)
    ours = found["clipneuron"].seconds
    print("\n| way | core-ms per picture | of ours | differing |\n|---|---|---|---|")
    for name, way in found.items():
        print(
            f"| {name} | {way.seconds * 1e3:.2f} | {way.seconds / ours:.0%} | {way.differing:,} |"
        )
    print("\n| part of ours | core-ms per picture |\n|---|---|")
    for name, seconds in parts(pictures, arguments.repeats).items():
        print(f"| {name} | {seconds * 1e3:.2f} |")


def made(seed: int, upright: bool = False) -> bytes:
    """A JPEG of noise, lying or upright."""
    data = picture(seed)
    if not upright:
        return data
    sink = io.BytesIO()
    image = Image.open(io.BytesIO(data)).transpose(Image.Transpose.ROTATE_90)
    image.save(sink, "JPEG", quality=94)
    return sink.getvalue()


def ways(pictures: Sequence[bytes], repeats: int) -> dict[str, Way]:
    """Every way's least time, and in how many values it differs."""
    expected = [_theirs(data) for data in pictures]
    times = least({name: partial(_each, way, pictures) for name, way in WAYS.items()}, repeats)
    found = {}
    for name, way in WAYS.items():
        pairs = zip(map(way, pictures), expected, strict=True)
        differing = sum(int((mine != theirs).sum()) for mine, theirs in pairs)
        found[name] = Way(times[name] / len(pictures), differing)
    return found


def parts(pictures: Sequence[bytes], repeats: int) -> dict[str, float]:
    """Least seconds per picture of each step of ours, on its own."""
    images = [_decoded(data) for data in pictures]
    height, width = OURS.frame.resized_size(images[0].height, images[0].width)
    fitting = [image.resize((width, height), Image.Resampling.BICUBIC) for image in images]
    decoder, resize = PARTS
    steps = {
        decoder: partial(_each, _decoded, pictures),
        "resize, crop, convert, transpose": partial(_each, OURS.frame.pixels, images),
        resize: partial(_each, _resized(width, height), images),
        "of which to an array, colours first": partial(_each, _first_colours, fitting),
    }
    times = least(steps, repeats)
    return {name: seconds / len(pictures) for name, seconds in times.items()}


PARTS = "JPEG to RGB (libjpeg-turbo, by Pillow)", "of which Pillow's resize"
"""The steps that no arrangement of Pillow's calls can leave out."""


def _each(way: Callable[[Any], object], items: Iterable[Any]) -> None:
    for item in items:
        way(item)


def _decoded(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def _first_colours(image: Image.Image) -> Pixels:
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


def _resized(width: int, height: int) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.resize((width, height), Image.Resampling.BICUBIC)


_TRANSFORM = open_clip.image_transform(SIZE, is_train=False, mean=(0,) * 3, std=(1,) * 3)


def _theirs(data: bytes) -> Pixels:
    """open_clip's own transform, without its last step."""
    values: Pixels = (_TRANSFORM(_decoded(data)) * 255).round().to(torch.uint8).numpy()
    return values


def _frame(image: Image.Image) -> tuple[int, int, int, int]:
    """Width and height after resizing, left and top of the crop."""
    height, width = OURS.frame.resized_size(image.height, image.width)
    return width, height, round((width - SIZE) / 2), round((height - SIZE) / 2)


def _draft(data: bytes) -> Pixels:
    """libjpeg scales while it decodes."""
    image = Image.open(io.BytesIO(data))
    image.draft("RGB", (SIZE, SIZE))
    image.load()
    return OURS.frame.pixels(image)


def _box(data: bytes) -> Pixels:
    """Only what the crop shows, by Pillow's box, whose corners are float32."""
    image = _decoded(data)
    width, height, left, top = _frame(image)
    x, y = image.width / width, image.height / height
    box = (left * x, top * y, (left + SIZE) * x, (top + SIZE) * y)
    return _first_colours(image.resize((SIZE, SIZE), Image.Resampling.BICUBIC, box=box))


def _at_once(data: bytes) -> Pixels:
    """Resize width and height by one call of Pillow's, then crop."""
    image = _decoded(data)
    width, height, left, top = _frame(image)
    whole = image.resize((width, height), Image.Resampling.BICUBIC)
    return _first_colours(whole.crop((left, top, left + SIZE, top + SIZE)))


def _bands(data: bytes) -> Pixels:
    """Each colour on its own, columns first."""
    image = _decoded(data)
    width, height, left, top = _frame(image)
    found = []
    for band in image.split():
        wide = band.resize((width, image.height), Image.Resampling.BICUBIC)
        wide = wide.crop((left, 0, left + SIZE, image.height))
        high = wide.resize((SIZE, height), Image.Resampling.BICUBIC)
        found.append(np.asarray(high.crop((0, top, SIZE, top + SIZE))))
    return np.stack(found)


def _reduced(data: bytes) -> Pixels:
    """Pillow's box filter before the resize."""
    image = _decoded(data)
    width, height, left, top = _frame(image)
    small = image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=1.0)
    return _first_colours(small.crop((left, top, left + SIZE, top + SIZE)))


def _torch_decoded(data: bytes) -> Pixels:
    """torchvision's decoder, Pillow's resize."""
    read = decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8))
    return OURS.frame.pixels(Image.fromarray(read.permute(1, 2, 0).contiguous().numpy()))


def _torch_resized(data: bytes) -> Pixels:
    """torchvision's decoder, torch's uint8 resize, whose weights have 16 bits where Pillow's have 22."""
    read = decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8))
    height, width = OURS.frame.resized_size(*read.shape[1:])
    left, top = round((width - SIZE) / 2), round((height - SIZE) / 2)
    size = (height, width)
    small = interpolate(read[None], size=size, mode="bicubic", antialias=True)[0]
    pixels: Pixels = small[:, top : top + SIZE, left : left + SIZE].contiguous().numpy()
    return pixels


WAYS: dict[str, Callable[[bytes], Pixels]] = {
    "open_clip's transform": _theirs,
    "clipneuron": OURS.decode,
    "Pillow, width and height at once, then cropped": _at_once,
    "ours, colour by colour": _bands,
    "Pillow, only the crop's box": _box,
    "Pillow, reducing_gap 1": _reduced,
    "Pillow, JPEG draft mode": _draft,
    "torchvision decodes, Pillow resizes": _torch_decoded,
    "torchvision decodes, torch resizes": _torch_resized,
}


if __name__ == "__main__":
    main()
