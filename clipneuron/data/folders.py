"""Pictures as files: a folder of them, with classes from sub-folders or from a contents.jsonl, or a single one."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from clipneuron.data.collections import Collection, Picture, collection
from clipneuron.data.files import Files, Span, Status, page, read_many
from clipneuron.data.labels import file_labels, unlabelled
from clipneuron.data.listing import Listing
from clipneuron.data.trouble import Judge
from clipneuron.store.errors import ReadError


@dataclass(frozen=True)
class FileReader:
    """Reads pictures that are files, or parts of files, below a folder or prefix."""

    files: Files

    def read_many(self, pictures: Sequence[Picture]) -> Iterator[bytes | ReadError]:
        """The bytes of each picture in turn, or why they can't be read; on S3 many are asked for at once."""
        outcomes, judge = read_many(self.files, map(_span, pictures)), Judge(self.files)
        for picture, outcome in zip(pictures, outcomes, strict=True):
            yield _checked(picture, outcome, judge)


def open_folder(files: Files, listing: Listing) -> Collection:
    """The collection of a folder's pictures; raises ValueError for a bad contents.jsonl."""
    paths = listing.pictures["path"]
    labels, missing = file_labels(files, listing.has_contents, paths)
    skipped = listing.skipped + Counter(
        {"not a picture": listing.others.total(), "listed but missing": missing}
    )
    columns = _columns(listing.pictures)
    return collection(columns, labels, FileReader(files), listing.pictures["size"], skipped)


def open_file(files: Files, name: str, status: Status) -> Collection:
    """The collection of one picture."""
    pictures = page([name], [status.size], [status.etag])
    return collection(_columns(pictures), unlabelled(1), FileReader(files), pictures["size"])


def _columns(pictures: pa.Table) -> dict[str, pa.ChunkedArray]:
    return {
        "image": pictures["path"],
        "source": pictures["path"],
        "offset": pa.chunked_array([pa.nulls(pictures.num_rows, pa.int64())]),
        "size": pictures["size"],
        "etag": pictures["etag"],
    }


def _span(picture: Picture) -> Span:
    if picture.offset is None:
        return Span(picture.source)
    return Span(picture.source, picture.offset, picture.size)


def _checked(picture: Picture, outcome: bytes | OSError, judge: Judge) -> bytes | ReadError:
    if isinstance(outcome, OSError):
        return judge.verdict(outcome, picture.source)
    if picture.offset is not None and len(outcome) != picture.size:
        return ReadError("unreadable", f"{picture.source} ends within the picture {picture.image}")
    return outcome or ReadError("empty", f"the file {picture.image} has no bytes")
