"""Which files a model is loaded from, named so that equal names mean equal models."""

import hashlib
import os
from pathlib import Path

_CHUNK = 2**24


def snapshot_name(model: str | os.PathLike[str], revision: str = "") -> str:
    """The name of a local folder's or file's contents, or of a model on the Hugging Face hub.

    A folder is named by the digest of its files, wherever it lies, a file by its own. A model on the hub is named as
    it was asked for: only a commit as `revision` says exactly which weights are meant.
    """
    folder = Path(model)
    if folder.is_dir():
        return f"{folder.name}-{_digest(folder)}"
    if folder.is_file():
        with folder.open("rb") as file:
            return f"{folder.name}-{hashlib.file_digest(file, 'sha256').hexdigest()}"
    return f"{os.fspath(model)}@{revision or 'main'}"


def _digest(folder: Path) -> str:
    """SHA-256 over names and contents of all files below, hidden ones left out."""
    total = hashlib.sha256()
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    for name in names:
        path = folder / name
        if not path.is_file() or any(part.startswith(".") for part in Path(name).parts):
            continue
        total.update(f"{name}\n{path.stat().st_size}\n".encode())
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                total.update(chunk)
    return total.hexdigest()
