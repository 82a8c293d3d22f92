"""Pictures as files: a folder of them, with classes from sub-folders or from a contents.jsonl, or a single one."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from clipneuron.data.collections import Collection, Picture, collection
from clipneuron.data.columns import Columns
from clipneuron.data.files import Files, Span, Status, page, read_many
from clipneuron.data.labels import file_labels, unlabelled
from clipneuron.data.listing import Listing
from clipneuron.data.trouble import Judge
from clipneuron.store.errors import ReadError

_SUFFIXES_SHOWN = 3


@dataclass(frozen=True)
class FileReader:
    """Reads pictures that are files, or parts of files, below a folder or prefix."""

    files: Files

    def read_many(self, pictures: Sequence[Picture]) -> Iterator[bytes | ReadError]:
        """The bytes of each picture in turn, or why they can't be read; on S3 many are asked for at once."""
        outcomes, judge = read_many(self.files, map(_span, pictures)), Judge(self.files)
        for picture, outcome in zip(pictures, outcomes, strict=True):
            yield _checked(picture, outcome, judge)


def open_folder(files: Files, listing: Listing, columns: Columns) -> Collection:
    """The collection of a folder's pictures; raises ValueError for a bad contents.jsonl."""
    paths = listing.pictures["path"]
    labels, missing = file_labels(files, listing.has_contents, paths, columns)
    skipped = listing.skipped + Counter(
        {**_by_suffix(listing.others), "listed but missing": missing}
    )
    return collection(
        _columns(listing.pictures),
        labels,
        FileReader(files),
        listing.pictures["size"],
        skipped,
        section=columns.section,
    )


def open_file(files: Files, name: str, status: Status) -> Collection:
    """The collection of one picture."""
    pictures = page([name], [status.size], [status.etag])
    return collection(_columns(pictures), unlabelled(1), FileReader(files), pictures["size"])


def _by_suffix(others: Counter[str]) -> dict[str, int]:
    """What is no picture, by the commonest ends of names: other formats of pictures and of data sets are among them."""
    common = dict(others.most_common(_SUFFIXES_SHOWN))
    rest = {"not a picture": others.total() - sum(common.values())}
    return {f"not a picture ({suffix})": count for suffix, count in common.items()} | rest


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
