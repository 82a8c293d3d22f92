"""Names that tools reserve for what is no data, as Spark and pyarrow leave them out."""

from pathlib import Path, PurePosixPath

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
"""The ends of the names of pictures, in lower case."""

_FOLDERS = frozenset(
    {"@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found"}
)
"""Of disks and network storage; the first holds thumbnails of the pictures beside it."""


def is_hidden(path: str) -> bool:
    """Whether a part of the path begins with a dot.

    >>> is_hidden("a/.cache/b.png"), is_hidden("./a/b.png")
    (True, False)
    """
    return any(part.startswith(".") and part not in (".", "..") for part in path.split("/"))


def is_reserved(path: str) -> bool:
    """Whether a part of the path is a name that tools reserve: a leading underscore, mostly.

    Pictures whose own names begin so are data, since cameras write them, and so are partitions.

    >>> is_reserved("_temporary/0/part-0.parquet"), is_reserved("a/_SUCCESS"), is_reserved("__MACOSX/a.png")
    (True, True, True)
    >>> is_reserved("a/_DSC0001.JPG"), is_reserved("_year=2020/part-0.parquet")
    (False, False)
    """
    *folders, name = path.split("/")
    if any(map(is_reserved_folder, folders)):
        return True
    return name.startswith("_") and PurePosixPath(name).suffix.lower() not in SUFFIXES


def is_reserved_folder(name: str) -> bool:
    """Whether a folder's name is one that tools reserve."""
    return name in _FOLDERS or (name.startswith("_") and "=" not in name)


def other_snapshots(folder: Path, names: list[str]) -> list[str]:
    """Those of a (real) folder's sub-folders that are other versions of one repository of Hugging Face's hub.

    A hub's cache keeps a folder of links for each version, mostly to the same files: only the one that refs/main
    names is taken. Raises ValueError where none is named and there are several.
    """
    if folder.name != "snapshots" or len(names) < 2 or not (folder.parent / "blobs").is_dir():
        return []
    try:
        current = (folder.parent / "refs" / "main").read_text().strip()
    except OSError:
        current = ""
    if current not in names:
        raise ValueError(
            f"{folder} holds {len(names)} versions of one repository ({', '.join(sorted(names)[:3])}), mostly the same "
            "files: point at one of them"
        )
    return [name for name in names if name != current]
