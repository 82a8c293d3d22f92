"""Keys: the relative paths that name objects."""


def parts(key: str) -> list[str]:
    """The parts of a key between its slashes; raises ValueError for one that would leave the store or hide."""
    found = key.split("/")
    if any(not part or part.startswith(".") for part in found):
        raise ValueError(f"a key is a relative path without empty or hidden parts, not {key!r}")
    return found


_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "md": "text/markdown; charset=utf-8",
    "png": "image/png",
    "webp": "image/webp",
}


def content_type(key: str) -> str:
    """What a browser is to take an object for, by the end of its name; that of bytes for all that no browser shows."""
    return _TYPES.get(key.rpartition(".")[2], "application/octet-stream")
