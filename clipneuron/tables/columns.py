"""How a table's schema is written: columns with their types and one sentence about each."""

from collections.abc import Mapping, Sequence

import pyarrow as pa

Columns = Mapping[str, tuple[pa.DataType, str]]

LAYER = (pa.int16(), "layer of the neuron, 0-based")
NEURON = (pa.int32(), "number of the neuron in its layer")
COUNT = (pa.int64(), "pictures that were summed")
INDEX = (pa.int64(), "global number of the picture, stable when a collection grows")
IMAGE = (pa.string(), "id of the picture in its collection")
LABEL = (pa.int32(), "class of the picture, null where unknown")
STATUS = (pa.string(), '"ok", or the kind of trouble with the picture')
TEXT_NOTE = (pa.string(), "what the model does not read of the text, null if it reads all")
NOTE = (
    pa.string(),
    "of a picture that is ok: what the model does not see of it, a kind and a sentence; else null",
)
REASON = (pa.string(), "the trouble in words, null when ok")


def described(name: str, columns: Columns, *, nullable: Sequence[str] = ()) -> pa.Schema:
    """The schema of a table."""
    fields = [
        pa.field(column, kind, column in nullable, metadata={"description": description})
        for column, (kind, description) in columns.items()
    ]
    return pa.schema(fields, metadata={"table": name})


def list_of(kind: pa.DataType, length: int = -1) -> pa.DataType:
    """A list under Parquet's own name for what it holds, so that a table comes back with the schema it had."""
    return pa.list_(pa.field("element", kind), length)
