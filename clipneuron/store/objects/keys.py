"""Keys: the relative paths that name objects."""


def parts(key: str) -> list[str]:
    """The parts of a key between its slashes; raises ValueError for one that would leave the store or hide."""
    found = key.split("/")
    if any(not part or part.startswith(".") for part in found):
        raise ValueError(f"a key is a relative path without empty or hidden parts, not {key!r}")
    return found
