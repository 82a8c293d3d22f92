"""Which objects an address refers to, and whether that store can be trusted with a run."""

import os
import uuid
from pathlib import Path
from urllib.parse import unquote, urlsplit

from clipneuron.store.errors import StoreError
from clipneuron.store.objects.protocol import Objects


def open_objects(url: str | os.PathLike[str]) -> Objects:
    """The objects at a path, a file:// or an s3://bucket/prefix URL.

    Raises ValueError for what can't be a store, StoreError for a bucket that can't be reached.
    """
    if isinstance(url, str) and url.startswith("s3:"):
        from clipneuron.store.objects.s3 import open_s3

        return open_s3(url)
    from clipneuron.store.objects.local import LocalObjects

    path = local_path(url)
    if path.exists() and not path.is_dir():
        raise ValueError(
            f"{path} is a file; a store is a directory: name one (it need not exist yet)"
        )
    return LocalObjects(path)


def local_path(url: str | os.PathLike[str]) -> Path:
    """The absolute path that a path or a file:// URL names; raises ValueError for another scheme."""
    text = os.fspath(url)
    if not text:
        raise ValueError("an empty path was given: name a path or a file:// URL")
    parts = urlsplit(text)
    if "://" not in text:
        return Path(text).expanduser().absolute()
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        raise ValueError(f"{text}: {parts.scheme}:// is not in this version: name a local path")
    return Path(unquote(parts.path)).absolute()


def probe(objects: Objects) -> None:
    """Checks that create-only writes are honoured, the one guarantee that commits rely on.

    Raises StoreError: on a store that silently replaces objects, two attempts at a shard would both believe
    that they had committed it.
    """
    key = f"probe-{uuid.uuid4().hex}"
    try:
        created = [objects.create(key, data) for data in (b"first", b"second")]
        if created != [True, False] or objects.get(key) != b"first":
            raise StoreError(
                f"{objects.url} does not honour create-only writes (a second write of the same object "
                "was accepted), so a shard could be committed twice: keep runs somewhere else"
            )
    finally:
        objects.delete(key)
