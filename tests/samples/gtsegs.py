"""A small file with the structure of ImageNet-Segmentation's gtsegs_ijcv.mat, as its readers describe it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np


class Row(NamedTuple):
    """A picture of the file."""

    name: str
    synset: str
    image: Any
    """[height width 3]"""
    masks: Sequence[Any]
    """[height width] each"""


def write(
    path: Path, rows: Sequence[Row], columns: Sequence[str] = ("img", "gt", "id", "target")
) -> Path:
    """The file: MATLAB 7.3 is HDF5 behind a header of 512 bytes, with all axes turned round."""
    with h5py.File(path, "w", userblock_size=512) as file:
        store = file.create_group("#refs#")
        found: dict[str, list[h5py.Reference]] = {column: [] for column in columns}
        for number, row in enumerate(rows):
            masks = [_put(store, f"m{number}_{i}", mask.T) for i, mask in enumerate(row.masks)]
            cell = np.array(masks, h5py.ref_dtype).reshape(-1, 1)
            values = {
                "img": np.asarray(row.image).T,
                "gt": cell,
                "id": _codes(row.name),
                "target": _codes(row.synset),
            }
            for column in columns:
                found[column].append(_put(store, f"{column}{number}", values[column]))
        value = file.create_group("value")
        for column, references in found.items():
            value[column] = np.array(references, h5py.ref_dtype).reshape(-1, 1)
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64, HDF5 schema 1.00 .")
    return path


def _put(store: h5py.Group, name: str, values: Any) -> h5py.Reference:
    store[name] = values
    return store[name].ref


def _codes(text: str) -> Any:
    return np.frombuffer(text.encode("utf-16-le"), np.uint16)[:, None]
