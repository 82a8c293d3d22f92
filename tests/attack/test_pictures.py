"""Pictures as the world has them: each is processed as open_clip would, or is a row with status and reason."""

import io
import struct
import zlib

import numpy as np
import open_clip
import pyarrow as pa
import pytest
import torch
from PIL import Image

from clipneuron.engine.stage import Shard
from clipneuron.readers.pictures import PictureFeed
from clipneuron.store.errors import UNREACHABLE, ReadError, StoreError
from clipneuron.tables import registry as tables
from tests.samples.world import clip, quiet_runner, sweep_of

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8))


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(NOISE, "JPEG", exif=exif)


def bomb() -> bytes:
    """A PNG that claims 60,000 x 60,000 pixels and holds none."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


GOOD = {
    "cmyk.jpg": encoded(NOISE.convert("CMYK"), "JPEG"),
    "deep.png": encoded(
        Image.fromarray(np.arange(1200, dtype=np.uint16).reshape(30, 40) * 50), "PNG"
    ),
    "exif.jpg": rotated(),
    "grey.png": encoded(NOISE.convert("L"), "PNG"),
    "moving.gif": encoded(NOISE, "GIF", save_all=True, append_images=[NOISE.rotate(90)]),
    "one-pixel.png": encoded(NOISE.resize((1, 1)), "PNG"),
    "palette.png": encoded(NOISE.quantize(8), "PNG", transparency=0),
    "plain.webp": encoded(NOISE, "WEBP"),
    "see-through.png": encoded(NOISE.convert("RGBA"), "PNG"),
    "wide.png": encoded(NOISE.resize((900, 9)), "PNG"),
}
BAD = {
    "bomb.png": (bomb(), "too_large"),
    "empty.jpg": (b"", "empty"),
    "text.jpg": (b"this is a text, not a picture", "not_an_image"),
    "truncated.jpg": (encoded(NOISE.resize((400, 300)), "JPEG")[:2000], "truncated"),
}


@pytest.fixture(scope="module")
def norms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd")
    (folder / "pictures").mkdir()
    for name, data in {**GOOD, **{name: data for name, (data, _) in BAD.items()}}.items():
        (folder / "pictures" / name).write_bytes(data)
    run, reports = sweep_of(folder).run(quiet_runner(max_failed_share=0.5))
    assert {report.failed_rows for report in reports if report.unit == "images"} == {0, len(BAD)}
    return {row["image"]: row for row in run.read("effects", "norms").to_pylist()}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_used_is_a_row_with_its_reason(norms, name):
    assert norms[name]["status"] == BAD[name][1]
    assert norms[name]["reason"]
    assert norms[name]["layer_0"] is None


@pytest.mark.parametrize("name", GOOD)
def test_everything_else_is_seen_as_open_clip_sees_it(norms, name):
    assert norms[name]["status"] == "ok"
    transform = open_clip.image_transform(
        clip().image_size, is_train=False, mean=clip().preprocess.mean, std=clip().preprocess.std
    )
    theirs = transform(Image.open(io.BytesIO(GOOD[name])))
    ours = clip().preprocess.normalize(clip().preprocess.decode(GOOD[name]))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


def test_a_place_that_does_not_answer_says_nothing_about_its_pictures():
    class Silent:
        def read_many(self, pictures):
            return (ReadError(UNREACHABLE, f"{picture.image}: timed out") for picture in pictures)

    row = {"index": [0], "image": ["a.png"], "source": ["a.png"], "size": [1]}
    schema = tables.schema("plan")
    listing = pa.table(
        {f.name: pa.array(row.get(f.name, [None]), f.type) for f in schema}, schema=schema
    )
    with pytest.raises(StoreError, match=r"cannot be reached: a\.png: timed out"):
        PictureFeed(Silent(), clip().preprocess).load(Shard("0", 1, listing))
