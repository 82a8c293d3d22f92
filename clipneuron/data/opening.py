"""Picture collections, on a local disk or on S3: folders, single pictures, Parquet files and tars.

A picture that can't be read raises nothing here but yields a ReadError with a status: `missing` (gone since it was
listed), `unreadable` (refused by the system or malformed), `empty` (no bytes) or `unreachable` (the place is in
trouble: the same picture may be readable later).
"""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from clipneuron.data.collections import Collection, Picture
from clipneuron.data.columns import Columns
from clipneuron.data.files import Files, LocalFiles, page
from clipneuron.data.folders import open_file, open_folder
from clipneuron.data.listing import Listing, is_compressed, list_files
from clipneuron.data.parquet import listing as parquet
from clipneuron.data.passed_over.beside import Kind, passed_over
from clipneuron.data.passed_over.names import SUFFIXES
from clipneuron.data.tars import listing as tars
from clipneuron.store.errors import ReadError, StoreError
from clipneuron.store.objects.opening import local_path

__all__ = ["Collection", "Columns", "Picture", "ReadError", "check_place", "open_collection"]

_EXPECTED = (
    "a folder of pictures, one picture, a Parquet file, a tar or a folder of Parquet files or tars"
)
_ONE_FILE = (*sorted(SUFFIXES), ".parquet", ".tar")


def open_collection(
    where: str | os.PathLike[str], *, columns: Columns | None = None, store: str = ""
) -> Collection:
    """The pictures at a path, a file:// URL or an s3:// URL; `columns` names what holds them and their classes.

    What lies below the address of the `store`, and runs elsewhere, are no part of it. Raises ValueError that names
    what was found, what was expected and what to do, and StoreError where S3 can't be reached.
    """
    files, name = located(where)
    columns = columns or Columns()
    return _open_one(files, name, columns) if name else _open_all(files, columns, store)


def check_place(where: str | os.PathLike[str]) -> None:
    """Raises ValueError where there can be no pictures: no such path here, no such address. S3 itself is not asked."""
    text = os.fspath(where)
    if text.startswith("s3://"):
        from clipneuron.store.objects.s3_client import split_url

        split_url(text)
    else:
        located(text)


def located(
    where: str | os.PathLike[str], suffixes: Sequence[str] = _ONE_FILE, expected: str = _EXPECTED
) -> tuple[Files, str]:
    """The files at a place and, for a single file (on S3, of these suffixes), its name.

    Raises ValueError where there is nothing here, with what was `expected`, and StoreError for trouble of S3.
    """
    text = os.fspath(where)
    if text.startswith("s3://"):
        return _on_s3(text, suffixes)
    path = local_path(text)
    if path.is_dir():
        return LocalFiles(path), ""
    if not path.is_file():
        raise ValueError(f"there is nothing at {path}: expected {expected}; check the path")
    return LocalFiles(path.parent), path.name


def _on_s3(url: str, suffixes: Sequence[str]) -> tuple[Files, str]:
    # Imported here: the client takes a quarter of a second, which local collections are spared.
    from clipneuron.data.s3_files import S3Files
    from clipneuron.store.objects.s3_client import split_url

    bucket, prefix = split_url(url)
    folder, _, name = prefix.rpartition("/")
    if name and not url.endswith("/"):
        files = S3Files(bucket, folder)
        is_file = Path(name).suffix.lower() in suffixes or is_compressed(name)
        if is_file and _is_there(files, name):
            return files, name
    return S3Files(bucket, prefix), ""


def _is_there(files: Files, name: str) -> bool:
    try:
        return files.status(name) is not None
    except OSError as error:
        raise StoreError(error.strerror) from error


def _open_one(files: Files, name: str, columns: Columns) -> Collection:
    place = files.location(name)
    if is_compressed(name):
        raise ValueError(
            f"{place} is compressed: pictures are read at their place in a tar; unpack it to a plain .tar"
        )
    status = files.status(name)
    suffix = Path(name).suffix.lower()
    if suffix not in _ONE_FILE or status is None:
        suffixes = " ".join(sorted(SUFFIXES))
        raise ValueError(
            f"{place} is neither a picture ({suffixes}) nor .parquet nor .tar: expected {_EXPECTED}"
        )
    entry = page([name], [status.size], [status.etag])
    _check_asked(place, {".parquet": "Parquet files", ".tar": "tars"}.get(suffix, ""), columns)
    if suffix == ".parquet":
        return parquet.open_tables(files, entry, columns)
    return (
        tars.open_tars(files, entry, columns)
        if suffix == ".tar"
        else open_file(files, name, status)
    )


def _open_all(files: Files, columns: Columns, store: str) -> Collection:
    listing = list_files(files, store)
    kinds = (
        Kind("pictures", listing.pictures),
        # Tools that write tars often put a Parquet file of captions beside each.
        Kind("tars", listing.tars, partial(tars.pictures_in, files), "member"),
        Kind("Parquet files", listing.tables, partial(parquet.pictures_in, files), "image_column"),
    )
    there = [kind for kind in kinds if kind.files.num_rows]
    if not there:
        raise ValueError(_nothing(files, listing))
    asked = _asked_kind(columns)
    taken = next((kind for kind in there if kind.several == asked), there[0])
    _check_asked(files.url, taken.several, columns)
    found = _opened(files, taken, listing, columns)
    others = [kind for kind in there if kind is not taken]
    beside = passed_over(files, taken, len(found), others, columns, asked=bool(asked))
    return replace(found, skipped=dict(Counter(found.skipped) + beside))


def _opened(files: Files, taken: Kind, listing: Listing, columns: Columns) -> Collection:
    if taken.several == "pictures":
        return open_folder(files, listing, columns)
    openers = {"tars": tars.open_tars, "Parquet files": parquet.open_tables}
    found = openers[taken.several](files, taken.files, columns)
    return replace(found, skipped=dict(Counter(found.skipped) + listing.skipped))


def _asked_kind(columns: Columns) -> str:
    """The kind of files that the columns are of, "" where they are the usual ones."""
    if columns.member:
        return "tars"
    return "Parquet files" if columns.is_asked("image") else ""


def _check_asked(place: str, taken: str, columns: Columns) -> None:
    """Raises ValueError for a column or a member that is named in vain."""
    if columns.is_asked("image") and taken != "Parquet files":
        field, meant = "image_column", "a column of Parquet files"
    elif columns.member and taken != "tars":
        field, meant = "member", "a member of the samples in tars"
    else:
        return
    raise ValueError(
        f"{columns.field(field)} names {meant}, and there are none at {place}: leave it out, or check the path"
    )


def _nothing(files: Files, listing: Listing) -> str:
    other = ", ".join(f"{count} {suffix}" for suffix, count in listing.others.most_common(5))
    skipped = ", ".join(f"{count} {why}" for why, count in listing.skipped.items())
    return (
        f"there is no picture in {files.url} (found {other or 'nothing'}; skipped: {skipped or 'nothing'}): "
        f"expected files ending in {' '.join(_ONE_FILE)}; check the path"
    )
