import pickle
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image, ImageCms, PngImagePlugin
from torchvision.transforms import Compose

from clipneuron.models.clip.preprocessing.contents import without_texts
from clipneuron.models.clip.preprocessing.pixels import Frame
from clipneuron.models.clip.preprocessing.preprocess import PictureError, Preprocess
from tests.samples.towers import tiny_tower

SIZE = (32, 32)
STATISTICS = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.4)}


def preprocess(**options):
    return Preprocess(**{"size": SIZE, **STATISTICS, **options})


def noise(width=50, height=40, seed=0, channels=3):
    values = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return Image.fromarray(values.squeeze())


def encoded(image, kind="PNG", **options):
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def rotated_by_exif():
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(noise(), "JPEG", exif=exif)


def sixteen_bit():
    values = np.random.default_rng(0).integers(0, 65536, (40, 50), dtype=np.uint16)
    return encoded(Image.fromarray(values))


def palette_with_transparency():
    return encoded(noise().quantize(16), transparency=bytes(range(16)))


def animation():
    return encoded(noise(), "GIF", save_all=True, append_images=[noise(seed=1)])


PICTURES = {
    "png": lambda: encoded(noise()),
    "jpeg": lambda: encoded(noise(), "JPEG"),
    "progressive_jpeg": lambda: encoded(noise(), "JPEG", progressive=True),
    "webp": lambda: encoded(noise(), "WEBP"),
    "tiff": lambda: encoded(noise(), "TIFF"),
    "bmp": lambda: encoded(noise(), "BMP"),
    "exif": rotated_by_exif,
    "cmyk": lambda: encoded(noise().convert("CMYK"), "JPEG"),
    "sixteen_bit": sixteen_bit,
    "palette": lambda: encoded(noise().quantize(16)),
    "palette_with_transparency": palette_with_transparency,
    "alpha": lambda: encoded(noise(channels=4)),
    "grey": lambda: encoded(noise().convert("L")),
    "grey_alpha": lambda: encoded(noise().convert("LA")),
    "black_and_white": lambda: encoded(noise().convert("1")),
    "float": lambda: encoded(noise().convert("F"), "TIFF"),
    "animation": animation,
    "one_pixel": lambda: encoded(noise(1, 1)),
    "line": lambda: encoded(noise(300, 1)),
    "wide": lambda: encoded(noise(301, 33)),
    "high": lambda: encoded(noise(31, 200)),
    "exact": lambda: encoded(noise(32, 32)),
    "large": lambda: encoded(noise(900, 700)),
}

SETTINGS = {
    "default": {},
    "bilinear": {"interpolation": "bilinear"},
    "longest": {"resize_mode": "longest", "fill_color": 77},
    "squash": {"resize_mode": "squash"},
    "rectangle": {"size": (24, 40)},
    "rectangle_longest": {"size": (24, 40), "resize_mode": "longest"},
    "rectangle_squash": {"size": (24, 40), "resize_mode": "squash"},
}


def transform_of_open_clip(options):
    settings = PreprocessCfg(**{"size": SIZE, **STATISTICS, **options})
    return image_transform_v2(settings, is_train=False)


def assert_same_as_open_clip(data, options):
    """The same pixels bit for bit; and where open_clip fails, so do we."""
    ours = preprocess(**options)
    try:
        expected = transform_of_open_clip(options)(Image.open(BytesIO(data)))
    except Exception:
        with pytest.raises(PictureError):
            ours.decode(data)
        return
    pixels = ours.decode(data)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (3, *ours.size)
    assert torch.equal(ours.normalize(pixels), expected)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("options", SETTINGS)
@pytest.mark.parametrize("kind", PICTURES)
def test_pixels_are_open_clips_own(kind, options):
    assert_same_as_open_clip(PICTURES[kind](), SETTINGS[options])


MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "CMYK", "YCbCr", "HSV", "LAB", "I", "F")
LENGTHS = (1, 2, 15, 16, 17, 31, 32, 33, 47, 64, 101, 225)


def frame(options):
    settings = {
        "size": SIZE,
        "interpolation": "bicubic",
        "resize_mode": "shortest",
        "fill_color": 0,
    }
    return Frame(**settings | options)


def assert_same_pixels(image, options):
    """As open_clip's steps before its normalisation; and where they fail, so do ours."""
    *steps, _ = transform_of_open_clip(options).transforms
    try:
        expected = Compose(steps)(image)
    except Exception:
        with pytest.raises(ValueError, match="must be > 0"):
            frame(options).pixels(image)
        return
    ours = torch.from_numpy(frame(options).pixels(image)).float().div(255)
    assert torch.equal(ours, expected), (image.mode, image.size)


@pytest.mark.parametrize("options", SETTINGS)
def test_pixels_of_any_size_are_open_clips_own(options):
    for height in LENGTHS:
        for width in LENGTHS:
            assert_same_pixels(noise(width, height), SETTINGS[options])


@pytest.mark.parametrize("options", SETTINGS)
@pytest.mark.parametrize("mode", MODES)
def test_pixels_of_any_mode_are_open_clips_own(mode, options):
    for width, height in ((50, 40), (33, 90), (32, 32), (7, 20)):
        whole = noise(width, height)
        through = {"PA": "P", "RGBa": "RGBA"}.get(mode, mode)
        if mode == "LAB":
            image = ImageCms.profileToProfile(
                whole,
                ImageCms.createProfile("sRGB"),
                ImageCms.createProfile("LAB"),
                outputMode="LAB",
            )
        else:
            image = whole.convert(through).convert(mode)
        assert image.mode == mode
        assert_same_pixels(image, SETTINGS[options])


@pytest.mark.parametrize("options", [{"interpolation": "nearest"}, {"resize_mode": "fit"}])
def test_a_way_of_resizing_that_open_clip_does_not_know_is_refused(options):
    with pytest.raises(ValueError, match="expected one of bicubic"):
        preprocess(**options)


@pytest.mark.parametrize("kind", [kind for kind in PICTURES if kind != "line"])
def test_every_kind_of_picture_is_read(kind):
    assert preprocess().decode(PICTURES[kind]()).shape == (3, 32, 32)


def test_a_tower_says_how_its_pixels_are_made():
    tower = tiny_tower(image_size=(16, 40))
    assert Preprocess.of_tower(tower).size == (16, 40)
    assert Preprocess.of_tower(tower).mean == pytest.approx((0.48145466, 0.4578275, 0.40821073))
    tower.preprocess_cfg = {"mean": 0.5, "std": [0.1, 0.2, 0.3], "resize_mode": "squash"}
    made = Preprocess.of_tower(tower)
    assert (made.mean, made.std, made.resize_mode) == ((0.5,) * 3, (0.1, 0.2, 0.3), "squash")


def test_batches_normalise_like_single_pictures_in_any_type():
    ours = preprocess()
    pixels = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    batch = ours.normalize(pixels)
    assert torch.equal(batch[2], ours.normalize(pixels[2]))
    exact = ours.normalize(pixels, dtype=torch.float64)
    torch.testing.assert_close(batch.double(), exact, atol=1e-6, rtol=1e-6)
    assert ours.normalize(pixels, device="cpu", dtype=torch.bfloat16).dtype == torch.bfloat16
    assert pixels.dtype == torch.uint8


def test_arrays_normalise_like_tensors_and_are_not_written_to():
    ours = preprocess()
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)
    pixels.flags.writeable = False  # as arrays from a cluster's shared memory are
    before = pixels.copy()
    assert torch.equal(ours.normalize(pixels), ours.normalize(torch.from_numpy(before)))
    assert np.array_equal(pixels, before)


@pytest.mark.parametrize("make", [torch.zeros, np.zeros])
def test_floats_are_not_normalised_twice(make):
    with pytest.raises(ValueError, match="uint8"):
        preprocess().normalize(make((3, 32, 32)))


def bomb(width, height):
    """A PNG of a few bytes that claims a size."""

    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b""))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


BROKEN = {
    "empty": (b"", "empty"),
    "text": (b"these are words", "not_an_image"),
    "html": (b"<html><body>404</body></html>", "not_an_image"),
    "zeros": (bytes(1000), "not_an_image"),
    "half_jpeg": (encoded(noise(), "JPEG")[:600], "truncated"),
    "half_png": (encoded(noise())[:600], "truncated"),
    "header_only": (encoded(noise())[:20], "truncated"),
    "bomb": (bomb(60_000, 60_000), "too_large"),
    "beyond_the_limit": (bomb(13_400, 13_400), "too_large"),
    "line": (encoded(noise(20_000, 1)), "too_large"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_picture_says_what_is_wrong(kind):
    data, status = BROKEN[kind]
    limit = {"max_pixels": 1_000_000} if kind == "line" else {}
    with pytest.raises(PictureError, match=r"cat\.jpg: ") as caught:
        preprocess(**limit).decode(data, "cat.jpg")
    assert caught.value.status == status
    assert caught.value.reason == str(caught.value)


def status_of(data):
    try:
        assert preprocess().decode(data).shape == (3, 32, 32)
    except PictureError as error:
        return error.status
    return "ok"


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "tiff", "animation", "bmp"])
def test_flipped_bytes_never_raise_anything_else(kind):
    generator = np.random.default_rng(0)
    whole = np.frombuffer(PICTURES[kind](), dtype=np.uint8)
    statuses = set()
    for _ in range(30):
        broken = whole.copy()
        broken[generator.integers(0, len(broken), 12)] = generator.integers(0, 256, 12)
        statuses.add(status_of(broken.tobytes()))
    assert statuses <= {"ok", "not_an_image", "truncated", "corrupt", "too_large"}


def test_the_limit_is_a_parameter():
    data = encoded(noise(50, 40))
    assert preprocess(max_pixels=2000).decode(data).shape == (3, 32, 32)
    with pytest.raises(PictureError, match="50 x 40 pixels"):
        preprocess(max_pixels=1999).decode(data)


def test_an_error_survives_the_way_between_processes():
    error = pickle.loads(pickle.dumps(PictureError("corrupt", "cat.jpg: why")))
    assert (error.status, error.reason, str(error)) == ("corrupt", "cat.jpg: why", "cat.jpg: why")


def test_preprocess_is_picklable_after_use():
    ours = preprocess()
    data = PICTURES["jpeg"]()
    pixels = ours.decode(data)
    again = pickle.loads(pickle.dumps(ours))
    assert again == ours
    assert np.array_equal(again.decode(data), pixels)


def test_pillows_warnings_stay_inside():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        preprocess().decode(palette_with_transparency())
        with pytest.raises(PictureError):
            preprocess().decode(bomb(9_500, 9_500))  # between Pillow's warning and its refusal
        assert not seen
        warnings.warn("others may still speak", stacklevel=1)
        assert len(seen) == 1


def test_threads_read_alike_and_leave_the_warning_filters_alone():
    before = list(warnings.filters)
    data = [encoded(noise(seed=seed)) for seed in range(40)]
    ours = preprocess()
    with ThreadPoolExecutor(8) as pool:
        parallel = list(pool.map(ours.decode, data))
    assert all(map(np.array_equal, parallel, map(ours.decode, data)))
    assert warnings.filters == before


def deep(values, kind="TIFF"):
    return encoded(Image.fromarray(values), kind)


RAMP = np.linspace(0, 1, 40 * 50).reshape(40, 50)
DEEP = {
    "16_bit_png": lambda: deep((RAMP * 65535).astype(np.uint16), "PNG"),
    "16_bit_tiff": lambda: deep((RAMP * 65535).astype(np.uint16)),
    "12_of_16_bits": lambda: deep((RAMP * 4095).astype(np.uint16)),
    "32_bit": lambda: deep((RAMP * 1e6 - 5e5).astype(np.int32)),
    "float_0_to_1": lambda: deep(RAMP.astype(np.float32)),
    "float_of_any_size": lambda: deep((RAMP * 1e30 - 5e29).astype(np.float32)),
    "big_endian": lambda: encoded(Image.frombytes("I;16B", (50, 40), (RAMP * 65535).astype(">u2").tobytes()), "TIFF"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DEEP)
def test_a_picture_of_high_depth_is_clipped_as_open_clip_does_and_says_so(kind):
    data = DEEP[kind]()
    assert_same_as_open_clip(data, {})
    note = preprocess().read(data).note
    assert note.startswith("clipped: ")
    says = (
        "levels of 0 to 255" if kind == "float_0_to_1" else "below 0 is black and above 255 white"
    )
    assert says in note


@pytest.mark.parametrize("kind", DEEP)
def test_a_picture_of_high_depth_is_scaled_to_what_it_shows(kind):
    pixels, note, _ = preprocess(high_depth="scale").read(DEEP[kind](), "x.tif")
    expected = encoded(Image.fromarray(np.rint(RAMP * 255).astype(np.uint8)))
    difference = pixels.astype(int) - preprocess().decode(expected).astype(int)
    assert np.abs(difference).max() <= 1
    assert note.startswith("scaled: ")


@pytest.mark.parametrize("kind", DEEP)
def test_a_picture_of_high_depth_is_refused_where_that_is_asked(kind):
    with pytest.raises(PictureError, match=r"x\.tif: .* do not fit the 0 to 255") as caught:
        preprocess(high_depth="refuse").decode(DEEP[kind](), "x.tif")
    assert caught.value.status == "high_depth"


@pytest.mark.parametrize("choice", ["clip", "refuse"])
@pytest.mark.parametrize("kind", [np.uint16, np.int32])
def test_values_that_fit_are_left_alone_whatever_their_depth(choice, kind):
    data = deep((RAMP * 255).astype(kind))
    assert preprocess(high_depth=choice).read(data).note == ""
    assert_same_as_open_clip(data, {})


@pytest.mark.parametrize("kind", sorted({*PICTURES} - {"sixteen_bit", "float", "line"}))
def test_other_pictures_are_the_same_whatever_is_asked_of_high_depth(kind):
    data = PICTURES[kind]()
    found = [preprocess(high_depth=choice).read(data) for choice in ("clip", "scale", "refuse")]
    assert all(np.array_equal(each.pixels, found[0].pixels) for each in found)
    assert {each.note for each in found} <= {"", found[0].note}
    assert found[0].note == "" or kind == "one_pixel"


@pytest.mark.parametrize("choice", ["clip", "scale", "refuse"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_found_by_the_pictures_name(choice, value):
    values = RAMP.astype(np.float32)
    values[3, 4] = value
    with pytest.raises(PictureError, match=r"x\.tif: 1 of 2,000 values are NaN or inf") as caught:
        preprocess(high_depth=choice).decode(deep(values), "x.tif")
    assert caught.value.status == "not_finite"


@pytest.mark.parametrize(
    "image", [Image.new("RGB", (40, 40), (9, 8, 7)), Image.new("L", (1, 9), 3)]
)
def test_a_picture_of_one_colour_says_so(image):
    note = preprocess().read(encoded(image)).note
    assert note.startswith("one colour: every pixel is (")
    assert preprocess().read(encoded(noise())).note == ""


def test_a_constant_picture_of_high_depth_says_both():
    note = preprocess(high_depth="scale").read(deep(np.full((40, 50), 7.5, np.float32))).note
    assert (
        note == "scaled: float values 7.5 to 7.5 to 0 to 255; one colour: every pixel is (0, 0, 0)"
    )


def test_the_choice_does_not_change_how_a_preprocessing_is_written_down():
    assert repr(preprocess(high_depth="scale")) == repr(preprocess())
    assert pickle.loads(pickle.dumps(preprocess(high_depth="scale"))).high_depth == "scale"


def with_metadata(kind):
    """A PNG whose texts or colour profile take more than a MB once they are unpacked."""
    info = PngImagePlugin.PngInfo()
    if kind == "iCCP":
        return encoded(noise(), icc_profile=bytes(1_200_000))
    if kind == "many zTXt":
        for number in range(70):
            info.add_text(f"text {number}", "x" * 1_000_000, zip=True)
    elif kind == "iTXt":
        info.add_itxt("text", "ü" * 1_200_000, zip=True)
    else:
        info.add_text("text", "x" * 1_200_000, zip=kind == "zTXt")
    return encoded(noise(), pnginfo=info)


@pytest.mark.parametrize("kind", ["zTXt", "tEXt", "iTXt", "iCCP", "many zTXt"])
def test_a_png_with_large_metadata_is_read(kind):
    assert np.array_equal(
        preprocess().decode(with_metadata(kind)), preprocess().decode(encoded(noise()))
    )


def test_what_is_read_of_a_png_stays_when_its_texts_are_passed_over():
    info = PngImagePlugin.PngInfo()
    info.add_text("a", "b")
    palette = encoded(noise().quantize(16), transparency=bytes(range(16)), pnginfo=info)
    assert without_texts(palette) == encoded(noise().quantize(16), transparency=bytes(range(16)))
    jpeg = encoded(noise(), "JPEG")
    assert without_texts(jpeg) is jpeg
    for end in range(0, len(palette) - 20, 7):  # a file that is cut off stays so
        assert status_of(palette[:end]) in ("empty", "not_an_image", "truncated")
