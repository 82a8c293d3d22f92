"""The WordNet ids of ImageNet's classes, by which its folders are called, and the names of all that WordNet has."""

from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path


@cache
def imagenet_synsets() -> tuple[str, ...]:
    """The ids in the order of `IMAGENET_CLASSES`, from timm's own list; empty where this timm has none."""
    return tuple(_timm("imagenet_synsets.txt").split())


@cache
def synset_names() -> Mapping[str, str]:
    """WordNet's first name of each of ImageNet's 21,841 synsets by its id, from timm; empty where timm has none."""
    pairs = (line.partition("\t") for line in _timm("imagenet_synset_to_lemma.txt").splitlines())
    return {synset: names.partition(",")[0].strip() for synset, _, names in pairs if names.strip()}


def _timm(name: str) -> str:
    """A list of timm's, which comes with open_clip; it is not imported, which would take seconds."""
    spec = find_spec("timm")
    for folder in (spec and spec.submodule_search_locations) or ():
        file = Path(folder, "data", "_info", name)
        if file.is_file():
            return file.read_text(encoding="utf-8")
    return ""
