"""Masks of every kind, found: in folders, tars and Parquet files, COCO's annotations, ImageNet-Segmentation's file."""

import os
from collections.abc import Mapping
from dataclasses import replace

import pyarrow.compute as pc

from clipneuron.data.collections import Collection
from clipneuron.data.columns import Columns
from clipneuron.data.files import Files, Span
from clipneuron.data.listing import list_files
from clipneuron.data.masks.coco import coco_masks
from clipneuron.data.masks.maps import Masks, digest_of
from clipneuron.data.masks.names import LISTS, names_in, value_names
from clipneuron.data.masks.pictured import binary_masks, value_masks
from clipneuron.data.masks.values import has_voc_palette
from clipneuron.data.opening import located, open_collection
from clipneuron.models.clip.synsets import synset_names
from clipneuron.store.errors import ReadError

KINDS = ("values", "binary", "voc", "coco", "gtsegs")
"""How masks are read: values that stand for classes, one class each, Pascal VOC's values, COCO's annotations, or
ImageNet-Segmentation's file."""

_COLUMNS = ("mask", "masks", "label_map", "segmentation", "annotation")
"""Usual names of columns of masks in Parquet files."""
_EXPECTED = "a folder, tar or Parquet file of masks, COCO's annotations (.json) or gtsegs_ijcv.mat"
_FILES = (".parquet", ".tar", ".json", ".mat")


def kind_of(where: str | os.PathLike[str], kind: str = "") -> str:
    """The kind as stated, or as the name of the file has it; "" where only the masks themselves can tell.

    Raises ValueError for a kind that is none.
    """
    if kind and kind not in KINDS:
        raise ValueError(
            f"there are no masks of the kind {kind!r}: expected one of {', '.join(KINDS)}"
        )
    ending = os.path.splitext(os.fspath(where))[1].lower()
    return kind or {".json": "coco", ".mat": "gtsegs"}.get(ending, "")


def check_masks(where: str | os.PathLike[str], kind: str = "") -> None:
    """Raises ValueError where there can be no masks: no such path, no such kind. S3 itself is not asked."""
    kind_of(where, kind)
    if not os.fspath(where).startswith("s3://"):
        located(where, _FILES, _EXPECTED)


def open_masks(
    where: str | os.PathLike[str],
    kind: str,
    pictures: Collection,
    names: Mapping[str, str] | None = None,
    *,
    columns: Columns | None = None,
    store: str = "",
) -> Masks:
    """The masks of a collection's pictures, by the names of both; `kind` is one of KINDS, or "" to find out.

    `names` are those of values, or for binary masks of pictures (`clipneuron.data.masks.names.names_in` reads them);
    `columns.image` says which column of Parquet files, or member of tars, has the masks, where it is no usual one.
    Raises ValueError that says what was found, what was expected and what to do, and StoreError where S3 can't be
    reached. ImageNet-Segmentation brings its own pictures, see `open_with_pictures`.
    """
    kind = kind_of(where, kind)
    if kind == "gtsegs":
        raise ValueError(f"{os.fspath(where)} brings its own pictures: leave other ones out")
    if kind == "coco":
        files, name = _file(where)
        return _checked(coco_masks(_whole(files, name), files.location(name), pictures), where)
    binary = kind == "binary" or (not kind and not names)
    found = _collection(where, columns or Columns(section="segmentation"), binary, store)
    if kind == "voc" or (not kind and not names and _is_voc(found)):
        voc = value_names(names or names_in("voc", ""))
        return _checked(value_masks("Pascal VOC", found, pictures, voc), where)
    if binary:
        return _checked(binary_masks("binary masks", found, pictures, names or {}), where)
    if not names:
        raise ValueError(
            f"what do the values of the masks in {os.fspath(where)} stand for? Give the names of their classes, a file "
            f"or one of {', '.join(LISTS)}"
        )
    return _checked(value_masks("masks of values", found, pictures, value_names(names)), where)


def open_with_pictures(
    where: str | os.PathLike[str], names: Mapping[str, str] | None = None
) -> tuple[Collection, Masks]:
    """The pictures and masks of a file that holds both, ImageNet-Segmentation's; raises as `open_masks`.

    `names` are those of WordNet ids; those of other ids are WordNet's own.
    """
    # Imported here: only this one needs HDF5.
    from clipneuron.data.masks.gtsegs import open_gtsegs

    files, name = _file(where)
    return open_gtsegs(files, name, {**synset_names(), **(names or {})})


def narrowed(masks: Masks, pictures: Collection) -> Masks:
    """The masks of some of the pictures, such as every tenth."""
    images = pictures.listing["image"]
    kept = masks.listing.filter(pc.is_in(masks.listing["image"], value_set=images.combine_chunks()))
    return replace(masks, listing=kept, digest=digest_of(kept, masks.digest, pictures.digest))


def _file(where: str | os.PathLike[str]) -> tuple[Files, str]:
    files, name = located(where, _FILES, _EXPECTED)
    if not name:
        raise ValueError(f"{files.url} is a folder: expected the file of the annotations itself")
    return files, name


def _whole(files: Files, name: str) -> bytes:
    try:
        return files.read(Span(name))
    except OSError as error:
        raise ValueError(f"can't read {files.location(name)}: {error.strerror or error}") from error


def _collection(
    where: str | os.PathLike[str], columns: Columns, binary: bool, store: str
) -> Collection:
    """The masks as a collection of pictures; their own classes count only where each is of one class."""
    if not binary:
        columns = replace(columns, label=(), name=())
    asked = columns.is_asked("image")
    if _in_tables(where, store):
        columns = columns if asked else replace(columns, image=_COLUMNS)
    elif asked:
        member = columns.image[0].lower().lstrip(".")
        usual = Columns().image
        columns = replace(columns, image=usual, asked=columns.asked - {"image"}, member=member)
    called = (("image_column", "mask_column"), ("member", "mask_column"), ("images", "masks"))
    return open_collection(where, columns=replace(columns, called=called), store=store)


def _in_tables(where: str | os.PathLike[str], store: str) -> bool:
    files, name = located(where, _FILES, _EXPECTED)
    if name:
        return name.lower().endswith(".parquet")
    listing = list_files(files, store)
    return bool(listing.tables.num_rows) and not (
        listing.pictures.num_rows or listing.tars.num_rows
    )


def _is_voc(found: Collection) -> bool:
    first = next(iter(found.read_many(found.pictures[:1])))
    return not isinstance(first, ReadError) and has_voc_palette(first)


def _checked(masks: Masks, where: str | os.PathLike[str]) -> Masks:
    """The masks; raises ValueError where none of them can be used, which is nobody's data set."""
    if masks.pairs.num_rows:
        return masks
    first = masks.unusable.to_pylist()[0]
    raise ValueError(
        f"no picture has a usable mask in {os.fspath(where)} ({masks.listing.num_rows:,} looked for): "
        f"{first['reason']} ({first['status']}); masks go by the names of their pictures"
    )
