"""Which program made a site: pages are made anew when their templates, style or makers have changed."""

import hashlib
from functools import cache
from pathlib import Path

_KINDS = (".py", ".jinja", ".css", ".js")


@cache
def edition() -> str:
    """The digest of this package's own files, 16 hexadecimal digits."""
    folder, digest = Path(__file__).parents[1], hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in _KINDS:
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
