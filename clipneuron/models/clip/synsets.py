"""The WordNet ids of ImageNet's classes, by which its folders are called."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path


@cache
def imagenet_synsets() -> tuple[str, ...]:
    """The ids in the order of `IMAGENET_CLASSES`, from timm's own list; empty where this timm has none.

    timm comes with open_clip; it is not imported, which would take seconds.
    """
    spec = find_spec("timm")
    for folder in (spec and spec.submodule_search_locations) or ():
        file = Path(folder, "data", "_info", "imagenet_synsets.txt")
        if file.is_file():
            return tuple(file.read_text().split())
    return ()
