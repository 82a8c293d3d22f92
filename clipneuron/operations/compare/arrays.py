"""Arrow's lists as matrices and back, and what is done to rows of them; without torch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Matrix = NDArray[np.float32]


def matrix(column: pa.ChunkedArray) -> NDArray[Any]:
    """A column of lists of equal length, without nulls, as [row, entry]."""
    array = column.combine_chunks()
    values: NDArray[Any] = array.flatten().to_numpy(zero_copy_only=False)
    return values.reshape(len(array), -1)


def unit(rows: NDArray[Any]) -> Matrix:
    """The rows at unit length; rows of zeros, or with what is no number, stay zero."""
    found: Matrix = np.nan_to_num(rows).astype(np.float32)
    lengths = np.sqrt(np.einsum("ij,ij->i", found, found))[:, None]
    np.divide(found, lengths, out=found, where=lengths > 0)
    return found


def floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """A column of numbers; nulls are NaN."""
    values: NDArray[np.float64] = column.to_numpy().astype(np.float64)
    return values


def ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    """Part by whole, NaN where the whole is not above 0."""
    found: NDArray[np.float64] = np.full(len(part), np.nan)
    np.divide(part, whole, out=found, where=whole > 0)
    return found


def lists(row: NDArray[np.int64], values: pa.Array, rows: int) -> pa.Array:
    """Values as a list per row, where `row` says, rising, whose each is."""
    offsets = np.searchsorted(row, np.arange(rows + 1)).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values)


def quantiles(values: NDArray[np.float64], at: Sequence[float]) -> list[float]:
    """Quantiles of the values that are numbers; NaN without any."""
    known = values[np.isfinite(values)]
    return [float(one) for one in np.quantile(known, at)] if len(known) else [np.nan] * len(at)


def mean(values: NDArray[Any]) -> float:
    """The mean of the values that are numbers; NaN without any."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else np.nan
