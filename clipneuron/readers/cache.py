"""Decoded shards that are kept: the pixels that models read, in a folder or a bucket, so that they are decoded once.

An object is found by what it holds, never by where the pictures lie: its key is a digest of the pictures' ids and
contents, in order, and of the transform that was applied. Its bytes begin with their own digest, so that a damaged
or half-written object is told from a whole one.

`pixels/KEY` are the objects. `reserved/KEY-SIZE-TOKEN` are claims to their space, made before they are written: a
writer claims, then adds up all claims, and gives its own back where they exceed the bound. Of any writers that were
admitted, the one that claimed last saw the claims of all others, so together they stay within it. A writer that dies
leaves a claim, whose space is free again for the same shard only.
"""

import hashlib
import json
import logging
import struct
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import UInt8

from clipneuron.store.errors import ObjectMissingError, StoreError
from clipneuron.store.identity import canonical
from clipneuron.store.objects.opening import local_path, open_objects
from clipneuron.store.objects.protocol import Objects

_MAGIC = b"clipneuron pixels 1\n"
_DIGEST = hashlib.sha256().digest_size
_LENGTH = struct.Struct("<Q")

logger = logging.getLogger(__name__)

Kept = tuple[Mapping[str, Any], UInt8[np.ndarray, "image 3 height width"]]
"""What is said of a shard's pictures, as JSON, and the pixels of the good ones."""


@dataclass(frozen=True)
class PixelCache:
    """A place for decoded shards; travels to the processes that decode. Its troubles never fail a run."""

    url: str
    limit: int = 0
    """Bytes that the objects may take together, 0 for no bound."""

    @classmethod
    def at(cls, place: str, gigabytes: float = 0.0) -> "PixelCache":
        """At a folder, whose path processes with other working directories can use, or a bucket."""
        url = place if place.startswith("s3:") else str(local_path(place))
        return cls(url, round(gigabytes * 1e9))

    def get(self, key: str) -> Kept | None:
        """What is kept under a key, None where there is nothing or nothing whole."""
        try:
            found = unpacked(_opened(self.url).get(f"pixels/{key}"))
        except ObjectMissingError:
            return None
        except (StoreError, ValueError, OSError) as error:
            logger.warning("kept pixels %s are decoded again: %s", key, error)
            return None
        return found

    def put(self, key: str, about: Mapping[str, Any], pixels: UInt8[np.ndarray, "..."]) -> bool:
        """Whether a shard is kept now: not where the bound forbids it, or the place is in trouble."""
        data = packed(about, pixels)
        try:
            objects = _opened(self.url)
            claim = f"reserved/{key}-{len(data)}-{uuid.uuid4().hex}"
            objects.put(claim, b"claimed")
            if self.limit and claimed(objects) > self.limit:
                objects.delete(claim)
                return False
            objects.put(f"pixels/{key}", data)
        except (StoreError, ValueError, OSError) as error:
            logger.warning("decoded pixels are not kept: %s", error)
            return False
        return True


def claimed(objects: Objects) -> int:
    """Bytes that are kept or about to be; several claims to one object count once."""
    sizes: dict[str, int] = {}
    for name in objects.list("reserved/"):
        key, size, _ = name.removeprefix("reserved/").split("-")
        sizes[key] = max(int(size), sizes.get(key, 0))
    return sum(sizes.values())


def key_of(*content: object) -> str:
    """The key of content: plain JSON values."""
    return hashlib.sha256(canonical(content).encode()).hexdigest()


def packed(about: Mapping[str, Any], pixels: UInt8[np.ndarray, "..."]) -> bytes:
    """An object's bytes."""
    head = json.dumps({**about, "shape": pixels.shape}).encode()
    body = _LENGTH.pack(len(head)), head, np.ascontiguousarray(pixels).data
    digest = hashlib.sha256()
    for part in body:
        digest.update(part)
    return b"".join([_MAGIC, digest.digest(), *body])  # one copy of hundreds of MB


def unpacked(data: bytes) -> Kept:
    """What `packed` was given; raises ValueError for bytes that are not whole."""
    start = len(_MAGIC) + _DIGEST
    body = memoryview(data)[start:]
    if (
        data[: len(_MAGIC)] != _MAGIC
        or hashlib.sha256(body).digest() != data[start - _DIGEST : start]
    ):
        raise ValueError("the bytes are not those that were written")
    (length,) = _LENGTH.unpack_from(body)
    first = _LENGTH.size + length
    about = json.loads(bytes(body[_LENGTH.size : first]))
    return about, np.frombuffer(body[first:], np.uint8).reshape(about.pop("shape"))


@cache
def _opened(url: str) -> Objects:
    return open_objects(url)
