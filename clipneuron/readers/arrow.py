"""Tensors as Arrow columns and back, without a Python object per number."""

import warnings
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor


def list_column(values: Tensor, kind: pa.DataType) -> pa.Array:
    """A list column with one row per first axis; the other axes are flattened."""
    flat = values.detach().cpu().reshape(len(values), prod(values.shape[1:]))
    offsets = np.arange(len(flat) + 1, dtype=np.int32) * flat.shape[1]
    return pa.ListArray.from_arrays(offsets, pa.array(flat.numpy().ravel())).cast(kind)


def fixed_list_column(values: Tensor, present: Tensor) -> pa.Array:
    """A fixed-size-list column [row, width] whose rows are the values where `present`, else null."""
    width = values.shape[1]
    rows = torch.zeros(len(present), width, dtype=values.dtype)
    rows[present] = values.detach().cpu()
    return pa.FixedSizeListArray.from_arrays(
        pa.array(rows.numpy().ravel()), width, mask=pa.array((~present).numpy())
    )


def tensor(column: pa.ChunkedArray) -> Tensor:
    """The column as [row] or, for lists of equal length, [row, entry]; nulls are not allowed."""
    array = column.combine_chunks()
    if not pa.types.is_list(array.type) and not pa.types.is_fixed_size_list(array.type):
        return torch.from_numpy(array.to_numpy(zero_copy_only=False).copy())
    return torch.from_numpy(array.flatten().to_numpy().copy()).reshape(len(array), -1)


def unchanging(array: NDArray[Any]) -> Tensor:
    """The array as a tensor on the same memory, which may be read-only and must not be written to."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array)


def neuron_columns(layer: int, first: int, neurons: int) -> dict[str, pa.Array]:
    """The two columns that say which neuron a row is about."""
    return {
        "layer": pa.array(np.full(neurons, layer, dtype=np.int16)),
        "neuron": pa.array(np.arange(first, first + neurons, dtype=np.int32)),
    }


def table_of(columns: Mapping[str, object], schema: pa.Schema) -> pa.Table:
    """A table of the schema from columns in any order."""
    return pa.table({name: columns[name] for name in schema.names}, schema=schema)
