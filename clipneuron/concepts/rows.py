"""The rows of a shard's pictures, as both tables of concepts begin: usable ones with pixels, and the others."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from clipneuron.readers.arrow import table_of
from clipneuron.readers.pictures import Batch, Pixels


def usable(loaded: Batch, size: int) -> Iterator[tuple[pa.Table, Pixels]]:
    """The columns of `Batch.rows` and the pixels of the good pictures, `size` at a time."""
    rows, places = pa.table(loaded.rows()), np.flatnonzero(loaded.present)
    first = 0
    for pictures, pixels in loaded.slices(size):
        yield rows.take(pa.array(places[first : first + len(pictures)])), pixels
        first += len(pictures)


def failed(loaded: Batch, schema: pa.Schema) -> pa.Table:
    """A row of the schema for each picture that could not be used: null beyond the columns of `Batch.rows`."""
    rows = pa.table(loaded.rows()).filter(pa.array([not good for good in loaded.present]))
    known = {name: rows[name] for name in rows.column_names}
    unknown = {
        field.name: pa.nulls(rows.num_rows, field.type)
        for field in schema
        if field.name not in known
    }
    return table_of({**known, **unknown}, schema)
