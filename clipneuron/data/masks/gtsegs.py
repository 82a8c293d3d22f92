"""ImageNet-Segmentation (Guillaumin, Kuettel and Ferrari 2014): 4,276 pictures and their masks in one MATLAB file.

gtsegs_ijcv.mat (http://calvin-vision.net/bigstuff/proj-imagenet/data/) is HDF5. Its group `value` has a column of
references for each of

    img      the picture, uint8 [3 width height]: MATLAB's order, the axes turned round
    gt       a cell of masks, references to uint8 [width height], 1 on the object; the first is the one that is used,
             as in all published evaluations
    id       the picture's name, UTF-16 code units
    target   the WordNet id of its class

This file brings its own pictures, whose ids are those names; where two are the same, the row's number is added.
"""

import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
from jaxtyping import Shaped
from PIL import Image

from clipneuron.data.collections import Collection, Picture, collection
from clipneuron.data.files import Files
from clipneuron.data.labels import Labels, numbered
from clipneuron.data.masks.maps import (
    BACKGROUND,
    Found,
    LabelMap,
    MaskError,
    Masks,
    digest_of,
    listed,
    present,
    unusable,
)
from clipneuron.data.trouble import Judge
from clipneuron.reports.quantities import counted
from clipneuron.store.errors import UNREACHABLE, PlaceError, ReadError

_COLUMNS = ("img", "gt", "id", "target")
_OBJECT = 1
"""The value of the object in its mask."""


@dataclass(frozen=True)
class GtsegsReader:
    """Reads pictures and masks from the file."""

    files: Files
    source: str

    def read_many(self, pictures: Sequence[Picture]) -> Iterator[bytes | ReadError]:
        """Each picture as the bytes of a BMP, or why it can't be read."""
        judge = Judge(self.files)
        for picture in pictures:
            try:
                yield _file(self.cell("img", int(picture.offset or 0)))
            except (OSError, ValueError, KeyError, RuntimeError) as error:
                yield judge.verdict(error, f"{self.source}, row {picture.offset}")

    def cell(self, column: str, row: int) -> Shaped[np.ndarray, "..."]:
        """What a row has in a column, the first of the masks; raises OSError, ValueError, KeyError or RuntimeError."""
        with _opened(self.files, self.source) as file:
            return _array(file, file[f"value/{column}"][row, 0])


@dataclass(frozen=True)
class GtsegsMasks:
    """Reads the masks of pictures by their ids."""

    reader: GtsegsReader
    rows: Mapping[str, int]

    def read(self, image: str) -> LabelMap:
        """The label map, of one object; raises MaskError and PlaceError."""
        if image not in self.rows:
            raise MaskError("no_mask", f"{image}: there is no usable mask of it")
        where = f"{image} (row {self.rows[image]} of {self.reader.source})"
        try:
            mask = self.reader.cell("gt", self.rows[image])
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            trouble = Judge(self.reader.files).verdict(error, where)
            if trouble.status == UNREACHABLE:
                raise PlaceError(f"the masks cannot be reached: {trouble.reason}") from error
            raise MaskError(trouble.status, trouble.reason) from error
        if mask.ndim != 2 or mask.dtype.kind not in "bu" or not mask.size or mask.max() > _OBJECT:
            raise MaskError(
                "other_values", f"{where}: its mask {mask.shape} holds other values than 0 and 1"
            )
        labels = np.where(mask.T == _OBJECT, _OBJECT, BACKGROUND).astype(np.int32)
        return LabelMap(labels, np.zeros(labels.shape, np.bool_))


def open_gtsegs(
    files: Files, source: str, names: Mapping[str, str], section: str = "recipe"
) -> tuple[Collection, Masks]:
    """The pictures and the masks; `names` are those of WordNet ids, and a picture of one that it lacks has no class.

    Raises ValueError for another file.
    """
    rows = _rows(files, source)
    ids, synsets = [row["id"] for row in rows], [row["target"] for row in rows]
    repeated = {name for name, count in Counter(ids).items() if count > 1}
    ids = [
        f"{name}#{row}" if name in repeated or not name else name for row, name in enumerate(ids)
    ]
    reader = GtsegsReader(files, source)
    pictures = _pictures(ids, synsets, names, reader, section)
    listed_rows = [
        _listed(image, synset, row["masks"], names)
        for image, synset, row in zip(ids, synsets, rows, strict=True)
    ]
    listing = listed(row for own in listed_rows for row in own)
    several = sum(row["masks"] > 1 for row in rows)
    said = f"{counted(several, 'pictures', 'have')} more than one mask, of which the first is taken"
    masks = GtsegsMasks(reader, {image: row for row, image in enumerate(ids)})
    digest = digest_of(listing, pictures.digest)
    return pictures, Masks(
        "ImageNet-Segmentation", listing, masks, digest, (said,) if several else ()
    )


def _listed(image: str, synset: str, masks: int, names: Mapping[str, str]) -> list[dict[str, Any]]:
    if not masks:
        return [unusable(image, "no_mask", f"{image}: the file has no mask of it")]
    if synset not in names:
        return [unusable(image, "no_class", f"{image}: there is no name for {synset!r:.20}")]
    return present(image, [Found(names[synset], _OBJECT, None)])


def _pictures(
    ids: Sequence[str],
    synsets: Sequence[str],
    names: Mapping[str, str],
    reader: GtsegsReader,
    section: str,
) -> Collection:
    count = len(ids)
    status = reader.files.status(reader.source)
    length = status.size if status else 0
    named = pa.chunked_array([pa.array([names.get(synset) for synset in synsets], pa.string())])
    columns = {
        "image": pa.array(ids, pa.string()),
        "source": pa.repeat(pa.scalar(reader.source), count),
        "offset": pa.array(range(count), pa.int64()),
        "size": pa.nulls(count, pa.int64()),
        "etag": pa.repeat(pa.scalar(status.etag if status else None, pa.string()), count),
    }
    lengths = pa.chunked_array([pa.repeat(pa.scalar(length, pa.int64()), count)])
    labels = Labels(numbered(named), named, by_name=True)
    return collection(columns, labels, reader, lengths, section=section)


def _rows(files: Files, source: str) -> list[dict[str, Any]]:
    """What the file says of each picture, without its pixels."""
    place = files.location(source)
    try:
        with _opened(files, source) as file:
            found = [file["value"][column][:, 0] for column in _COLUMNS]
            return [
                {"masks": file[masks].size, "id": _text(file, name), "target": _text(file, target)}
                for _, masks, name, target in zip(*found, strict=True)
            ]
    except (OSError, ValueError, KeyError, RuntimeError, AttributeError, TypeError) as error:
        raise ValueError(
            f"{place} is not ImageNet-Segmentation's gtsegs_ijcv.mat, or is cut off: expected HDF5 with columns of "
            f"references value/{', value/'.join(_COLUMNS)} ({error})"
        ) from error


@contextmanager
def _opened(files: Files, source: str) -> Iterator[h5py.File]:
    status = files.status(source)
    if status is None:
        raise FileNotFoundError(2, "the file is gone")
    # HDF5 reads a few bytes here and there: the buffer spares S3 a request for each.
    with (
        io.BufferedReader(files.open(source, status.size), 2**20) as raw,
        h5py.File(raw, "r") as file,
    ):
        yield file


def _array(file: h5py.File, reference: Any) -> Shaped[np.ndarray, "..."]:
    """The array that a reference means; of a cell of references, the first."""
    found = file[reference]
    if found.dtype == h5py.ref_dtype:
        if not found.size:
            raise ValueError("an empty cell")
        found = file[found[()].ravel()[0]]
    return np.asarray(found[()])


def _text(file: h5py.File, reference: Any) -> str:
    codes = np.asarray(file[reference][()], "<u2")
    return codes.tobytes().decode("utf-16-le").strip("\0 ")


def _file(pixels: Shaped[np.ndarray, "..."]) -> bytes:
    """The picture with its axes turned round, as a file; grey ones have no axis of colours."""
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3):
        raise ValueError(
            f"a picture of {pixels.dtype} {pixels.shape}: expected bytes [3 width height]"
        )
    buffer = io.BytesIO()
    # PNG takes ten times as long.
    Image.fromarray(np.ascontiguousarray(pixels.T)).save(buffer, "BMP")
    return buffer.getvalue()
