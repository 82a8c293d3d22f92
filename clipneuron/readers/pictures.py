"""Where stages get pixels from: by description, so that a stage can travel to another process.

What decodes pictures imports no torch, which costs a process seconds and hundreds of MB: pixels are arrays here.
"""

import hashlib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import UInt8
from numpy.typing import NDArray

from clipneuron.data.collections import Picture, Pictures, Reader
from clipneuron.engine.stage import Shard
from clipneuron.models.clip.preprocessing.preprocess import Decoded, PictureError, Preprocess
from clipneuron.readers.cache import PixelCache, key_of
from clipneuron.store import traffic
from clipneuron.store.errors import UNREACHABLE, PlaceError, ReadError
from clipneuron.store.store import Failure, Run
from clipneuron.version import NUMERICS

Pixels = UInt8[np.ndarray, "image 3 height width"]
"""Pictures in the size that a model reads, as arrays: see above."""


@dataclass(frozen=True)
class Batch:
    """The pictures of a shard: `pixels` of those that could be read, in order; failures of the others."""

    pictures: tuple[Picture, ...]
    good: tuple[Picture, ...]
    pixels: Pixels
    failures: tuple[Failure, ...]
    notes: Mapping[str, str] = field(default_factory=dict)
    """What is to be said of good pictures, by their ids."""
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Height and width of good pictures before they were brought to the model's, by their ids."""

    def slices(self, size: int) -> Iterator[tuple[tuple[Picture, ...], Pixels]]:
        """The good pictures and their pixels, `size` at a time."""
        for start in range(0, len(self.good), size):
            yield self.good[start : start + size], self.pixels[start : start + size]

    @property
    def present(self) -> list[bool]:
        """Of each picture, whether it could be read."""
        good = {picture.index for picture in self.good}
        return [picture.index in good for picture in self.pictures]

    def rows(self) -> dict[str, pa.Array]:
        """The columns that say which picture each row is and what became of it."""
        reasons = {failure.image: failure for failure in self.failures}
        failed = [reasons.get(picture.image) for picture in self.pictures]
        return {
            "index": pa.array([picture.index for picture in self.pictures], pa.int64()),
            "image": pa.array([picture.image for picture in self.pictures], pa.string()),
            "label": pa.array([picture.label for picture in self.pictures], pa.int32()),
            "status": pa.array([item.status if item else "ok" for item in failed], pa.string()),
            "reason": pa.array([item.reason if item else None for item in failed], pa.string()),
            "note": pa.array(
                [self.notes.get(picture.image) for picture in self.pictures], pa.string()
            ),
        }


@dataclass(frozen=True)
class PictureFeed:
    """A collection seen through a model's preprocessing: shards of pictures in, uint8 pixels out.

    Holds no listing, so that it travels to workers; which pictures a shard has is in the table `plan` of the stage
    `planned`.
    """

    reader: Reader
    preprocess: Preprocess
    threads: int = 2
    planned: str = "plan"
    cache: PixelCache | None = None
    """Where decoded shards are kept and looked for."""

    decodes = True
    """On a cluster it works in processes of its own, beside those of the models."""

    def shards(self, run: Run, parts: int) -> list[Shard]:
        """The shards in the first `parts` parts of the plan, each with its rows of the plan."""
        everything = run.read(self.planned, "plan")
        wanted = everything.filter(pc.less(everything["part"], parts)).combine_chunks()
        plan = wanted.sort_by([("shard", "ascending"), ("index", "ascending")])
        encoded = pc.run_end_encode(plan["shard"].combine_chunks())
        starts = [0, *encoded.run_ends.to_pylist()]
        rows, repeated = plan.drop_columns("shard"), _repeated(plan)
        return [
            Shard(
                name,
                stop - start,
                rows.slice(start, stop - start),
                int(np.count_nonzero(repeated[start:stop])),
            )
            for name, start, stop in zip(
                encoded.values.to_pylist(), starts, starts[1:], strict=False
            )
        ]

    def load(self, shard: Shard) -> Batch:
        """Read and decode one shard; a picture that cannot be used becomes a failure with its reason.

        Raises PlaceError where the place of the pictures is in trouble: that says nothing about a picture, and the
        shard is tried again.
        """
        pictures = tuple(Pictures(shard.payload))
        contents = self._contents(pictures) if self.cache else None
        if self.cache is None or contents is None:
            return self._decoded(pictures, self.reader.read_many(pictures))
        key = key_of(NUMERICS, self.preprocess.transform, contents)
        found = self.cache.get(key)
        if found is not None:
            traffic.spared(len(pictures))
            return _unkept(pictures, *found)
        seen: list[str | None] = []
        kind = "md5" if _are_marked(pictures) else "sha256"
        batch = self._decoded(pictures, _digested(self.reader.read_many(pictures), seen, kind))
        if self._unchanged(pictures, contents, seen):
            self.cache.put(key, _about(batch), batch.pixels)
        return batch

    def _contents(self, pictures: Sequence[Picture]) -> list[list[object]] | None:
        """What each picture holds, for a key: S3's mark of it where there is one, else a digest of its bytes.

        With its id, which stands in the reasons of failures. None where one can't be read: it may be readable later.
        Rows of Parquet files have no size here, and are read: the mark of a file does not say which of its columns has
        the pictures.
        """
        if _are_marked(pictures):
            return [[item.image, item.etag, item.offset, item.size] for item in pictures]
        seen: list[str | None] = []
        deque(_digested(self.reader.read_many(pictures), seen, "sha256"), maxlen=0)
        if None in seen:
            return None
        return [[item.image, digest] for item, digest in zip(pictures, seen, strict=True)]

    def _unchanged(
        self,
        pictures: Sequence[Picture],
        contents: Sequence[Sequence[object]],
        seen: Sequence[str | None],
    ) -> bool:
        """Whether what was decoded is what the key is of: files may have changed, or gone, since they were listed."""
        if None in seen:
            return False
        if not _are_marked(pictures):
            return [item[1] for item in contents] == list(seen)
        # S3's mark of an object that was written at once, without a key of its own, is the MD5 of its bytes.
        doubtful = {
            item.source: item.etag
            for item, digest in zip(pictures, seen, strict=True)
            if digest != item.etag
        }
        return all(self._etag(source) == etag for source, etag in doubtful.items())

    def _etag(self, source: str) -> str | None:
        try:
            status = self.reader.files.status(source)
        except OSError:
            return None
        return status.etag if status else None

    def _decoded(
        self, pictures: tuple[Picture, ...], encoded: Iterator[bytes | ReadError]
    ) -> Batch:
        results: list[Decoded | Failure] = []
        # Encoded pictures in memory at a time: map() reads all it is given.
        window = 4 * self.threads
        with ThreadPoolExecutor(self.threads) as pool:
            for start in range(0, len(pictures), window):
                some = pictures[start : start + window]
                results += pool.map(self._decode, some, islice(encoded, len(some)))
        pairs = list(zip(pictures, results, strict=True))
        good = [(item, result) for item, result in pairs if isinstance(result, Decoded)]
        pixels = [decoded.pixels for _, decoded in good]
        return Batch(
            pictures,
            tuple(picture for picture, _ in good),
            np.stack(pixels) if pixels else np.empty((0, 3, 1, 1), np.uint8),
            tuple(result for result in results if isinstance(result, Failure)),
            {picture.image: decoded.note for picture, decoded in good if decoded.note},
            {picture.image: decoded.size for picture, decoded in good},
        )

    def _decode(self, picture: Picture, data: bytes | ReadError) -> Decoded | Failure:
        try:
            if isinstance(data, ReadError):
                raise data
            return self.preprocess.read(data, picture.image)
        except (ReadError, PictureError) as error:
            if error.status == UNREACHABLE:
                raise PlaceError(f"the pictures cannot be reached: {error.reason}") from error
            what = "" if isinstance(data, ReadError) else _instead(data)
            return Failure(picture.image, error.status, error.reason + what)


def _digested(
    encoded: Iterator[bytes | ReadError], seen: list[str | None], kind: str
) -> Iterator[bytes | ReadError]:
    """The same, with a digest of each picture's bytes noted as they pass; None for what can't be read."""
    for data in encoded:
        if isinstance(data, ReadError):
            seen.append(None)
        else:
            seen.append(hashlib.new(kind, data, usedforsecurity=False).hexdigest())
        yield data


def _are_marked(pictures: Sequence[Picture]) -> bool:
    """Whether S3's marks say what each picture holds."""
    return all(item.etag is not None and item.size is not None for item in pictures)


def _about(batch: Batch) -> dict[str, Any]:
    """What a cache keeps of a shard besides its pixels."""
    return {
        "failures": [[item.image, item.status, item.reason] for item in batch.failures],
        "notes": dict(batch.notes),
        "sizes": dict(batch.sizes),
    }


def _unkept(pictures: tuple[Picture, ...], about: Mapping[str, Any], pixels: Pixels) -> Batch:
    """The batch of these pictures of which a cache kept so much."""
    failures = tuple(Failure(*item) for item in about["failures"])
    failed = {failure.image for failure in failures}
    return Batch(
        pictures,
        tuple(picture for picture in pictures if picture.image not in failed),
        pixels,
        failures,
        about["notes"],
        {image: (height, width) for image, (height, width) in about["sizes"].items()},
    )


def evenly(count: int, total: int) -> list[int]:
    """So many places among `total`, as evenly spaced as whole numbers can be, the first of them 0.

    >>> evenly(4, 6)
    [0, 1, 3, 4]
    """
    return [place * total // count for place in range(count)]


def spread(shards: Sequence[Shard], count: int) -> list[Shard]:
    """So many pictures spread evenly over shards, in new shards as large as the first and named as they are."""
    rows, size = pa.concat_tables([shard.payload for shard in shards]), shards[0].rows
    kept = rows.take(pa.array(evenly(count, len(rows)), pa.int64())).combine_chunks()
    starts = range(0, count, size)
    return [
        Shard(shard.name, min(size, count - start), kept.slice(start, size))
        for shard, start in zip(shards, starts, strict=False)
    ]


def _instead(data: bytes) -> str:
    """What bytes are that are no picture, where their beginning tells."""
    start = data[:64].lstrip().lower()
    if start.startswith(b"version https://git-lfs"):
        return " (it is a Git LFS pointer: `git lfs pull` fetches the picture)"
    if start.startswith((b"<!doctype html", b"<html")):
        return " (it is a web page)"
    return ""


def _repeated(plan: pa.Table) -> NDArray[np.bool_]:
    """Which rows of a plan, in the order of its shards, are of pictures that stand in an earlier row too."""
    index = plan["index"].to_numpy()
    repeated = np.ones(len(index), bool)
    repeated[np.unique(index, return_index=True)[1]] = False
    return repeated
