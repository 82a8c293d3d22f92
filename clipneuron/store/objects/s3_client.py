"""The connection to S3: one configured client per process, from the settings that every AWS tool reads.

| setting | meaning |
|---|---|
| `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL` | a store other than AWS's (MinIO, Ceph) |
| `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_PROFILE`, ... | the credentials; AWS's files and roles work too |
| `AWS_DEFAULT_REGION`, `AWS_REQUEST_CHECKSUM_CALCULATION`, ... | everything else that botocore knows |
| `AWS_MAX_ATTEMPTS`, `AWS_RETRY_MODE` | how often one request is sent (default 3, "standard") |
| `FSSPEC_S3`, e.g. `{"config_kwargs": {"read_timeout": 60}}` | arguments of s3fs, including timeouts |

They are read when a process first needs S3. Workers on other hosts need them too.
"""

import os
import time
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import s3fs
from botocore.exceptions import BotoCoreError
from fsspec.config import conf

_CONNECT_SECONDS = 5
_READ_SECONDS = 10
_ATTEMPTS = 3
_READS = 2
_CONNECTIONS = 64
_FRESH_SECONDS = 2.0
_made_at = 0.0
"""When the process's last connection was made."""


def s3_filesystem() -> s3fs.S3FileSystem:
    """The process's own S3 file system: no listing is cached, and every request ends in bounded time.

    A forked process gets a new one, and so does a process whose settings have changed. Files are opened
    without a cache (`cache_type="none"`), which suits readers of Parquet; others choose their own.
    """
    return _connected(os.getpid(), _settings())


def reconnect() -> None:
    """Whoever needs S3 next reads settings and credentials again: their files are renewed in place.

    Many requests are refused at once; a connection that is a few seconds old has read what there is.
    """
    if time.monotonic() - _made_at > _FRESH_SECONDS:
        _connected.cache_clear()


def split_url(url: str) -> tuple[str, str]:
    """The bucket and the prefix, without slashes at its ends, of s3://bucket/prefix; raises ValueError."""
    parts = urlsplit(url, allow_fragments=False)
    prefix = parts.path.strip("/")
    if parts.scheme != "s3" or not parts.netloc or parts.query or "//" in prefix:
        raise ValueError(f"{url!r} is not an address on S3: write s3://bucket/prefix")
    return parts.netloc, prefix


def endpoint() -> str:
    """The address that requests go to, as shown to users; from the environment where s3fs can't tell."""
    try:
        return str(s3_filesystem().s3.meta.endpoint_url)
    except (BotoCoreError, ValueError):
        return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "S3")


def _settings() -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, value) for name, value in os.environ.items() if _matters(name)))


def _matters(name: str) -> bool:
    return name.startswith(("AWS_", "FSSPEC_S3"))


@cache
def _connected(pid: int, settings: tuple[tuple[str, str], ...]) -> s3fs.S3FileSystem:
    """This process's file system; the arguments only key the cache, botocore itself reads the settings."""
    global _made_at
    _made_at = time.monotonic()
    filesystem = s3fs.S3FileSystem(
        skip_instance_cache=True,  # it is cached here, by more than s3fs considers
        use_listings_cache=False,
        default_cache_type="none",
        default_fill_cache=False,
        config_kwargs=_client_options(),
    )
    # botocore retries requests; this is for responses whose body breaks off.
    filesystem.retries = _READS
    return filesystem


def _client_options() -> dict[str, Any]:
    options: dict[str, Any] = {
        "connect_timeout": _CONNECT_SECONDS,
        "read_timeout": _READ_SECONDS,
        "max_pool_connections": _CONNECTIONS,
    }
    if not {"AWS_MAX_ATTEMPTS", "AWS_RETRY_MODE"} & os.environ.keys():
        options["retries"] = {"mode": "standard", "total_max_attempts": _ATTEMPTS}
    asked: dict[str, Any] = conf.get("s3", {}).get("config_kwargs", {})
    return options | asked
