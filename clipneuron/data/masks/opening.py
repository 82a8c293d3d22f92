"""Masks of every kind, found."""

import os
from collections.abc import Mapping

from clipneuron.data.collections import Collection
from clipneuron.data.masks.maps import Masks

Names = Mapping[str, str]


def open_masks(
    where: str | os.PathLike[str],
    kind: str,
    pictures: Collection,
    names: Names | None = None,
    *,
    section: str = "segmentation",
) -> Masks:
    raise NotImplementedError
