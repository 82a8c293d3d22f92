"""Tables as Parquet bytes and back: equal tables give equal bytes, and damaged bytes raise an error."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:  # it brings pandas along, 0.2 s that most commands are spared
    import pyarrow.dataset as ds

# Numbers of rows, not of bytes: memory layouts differ between equal tables, row counts don't. Rows that hold
# lists are long, and readers ask for a block of neurons: with groups of its size they need not read the rest.
_ROW_GROUP = 4096
_LONG_ROW_GROUP = 256


def encode(table: pa.Table) -> bytes:
    """The table as one Parquet file, zstd, with page checksums; equal tables give equal bytes."""
    sink = io.BytesIO()
    pq.write_table(
        table.combine_chunks(),
        sink,
        row_group_size=_LONG_ROW_GROUP if _has_lists(table.schema) else _ROW_GROUP,
        compression="zstd",
        write_statistics=True,
        write_page_checksum=True,
        use_dictionary=_plain_columns(table.schema),
        use_byte_stream_split=_float_lists(table.schema),
    )
    return sink.getvalue()


def decode(
    source: object, columns: Sequence[str] | None = None, filters: object = None
) -> pa.Table:
    """The table in a Parquet file (bytes or an Arrow file); raises pyarrow's errors when it is damaged.

    Rows are counted as the footer has them: where the header of a page is damaged, which no checksum covers, Arrow may
    take it for a page of another kind and leave its rows out.
    """
    source = pa.BufferReader(source) if isinstance(source, bytes) else source
    if filters is None or _excludes_all(filters):  # datasets bring pandas along
        file = pq.ParquetFile(source, page_checksum_verification=True)
        return _columns(file, columns, empty=filters is not None)
    return _filtered(source, columns, filters)


def schema(source: object) -> pa.Schema:
    """The columns of a Parquet file (an Arrow file), by its footer; raises pyarrow's errors where there is none."""
    return pq.ParquetFile(source).schema_arrow


def rows(data: bytes) -> int:
    """How many rows a Parquet file has, by its footer; raises pyarrow's errors where there is none."""
    count: int = pq.ParquetFile(pa.BufferReader(data)).metadata.num_rows
    return count


def _excludes_all(filters: object) -> bool:
    """Whether a value would have to be among none, which pyarrow takes for a list of nulls and refuses to compare."""
    return isinstance(filters, list) and any(
        isinstance(one, tuple) and one[1] == "in" and not len(one[2]) for one in filters
    )


def _filtered(source: object, columns: Sequence[str] | None, filters: object) -> pa.Table:
    """The columns asked for of the rows asked for; row groups that cannot have any are not read."""
    expression = pq.filters_to_expression(filters) if isinstance(filters, list) else filters
    fragment = checked_format().make_fragment(source)
    groups, footer = fragment.subset(expression).row_groups, fragment.metadata
    file = pq.ParquetFile(source, metadata=footer, page_checksum_verification=True, pre_buffer=True)
    _check_names(file, columns)
    needed = None if columns is None else [*dict.fromkeys([*columns, *_named(filters, file)])]
    found = file.read_row_groups([group.id for group in groups], columns=needed)
    _check_rows(found, sum(group.num_rows for group in groups))
    found = found.filter(expression)
    return found if columns is None else found.select(list(columns))


def _named(filters: object, file: pq.ParquetFile) -> list[str]:
    """The columns that filters are about, or may be."""
    if not isinstance(filters, list):
        return list(file.schema_arrow.names)
    terms = [term for each in filters for term in (each if isinstance(each, list) else [each])]
    return [name for name, *_ in terms]


def _check_rows(found: pa.Table, expected: int) -> None:
    if found.num_rows != expected:
        raise pa.ArrowInvalid(f"there are {found.num_rows} rows where the footer has {expected}")


def _columns(file: pq.ParquetFile, columns: Sequence[str] | None, empty: bool) -> pa.Table:
    """The columns asked for, all by default; with no row where it is to be `empty`."""
    _check_names(file, columns)
    names = list(file.schema_arrow.names if columns is None else columns)
    if empty:
        return file.schema_arrow.empty_table().select(names)
    found = file.read(columns=None if columns is None else names)
    _check_rows(found, file.metadata.num_rows)
    return found.select(names)


def _check_names(file: pq.ParquetFile, columns: Sequence[str] | None) -> None:
    if columns is None:
        return
    unknown = [name for name in columns if name not in file.schema_arrow.names]
    if unknown:
        raise pa.ArrowInvalid(
            f"there is no column {', '.join(unknown)}; there are {', '.join(file.schema_arrow.names)}"
        )


def footer(data: bytes) -> bytes:
    """The end of a Parquet file: its metadata, their length and the magic number."""
    return data[-8 - int.from_bytes(data[-8:-4], "little") :]


def checked_format() -> "ds.ParquetFileFormat":
    """The format for Arrow datasets that verifies page checksums, which is off by default."""
    import pyarrow.dataset as ds

    options = ds.ParquetFragmentScanOptions(page_checksum_verification=True)
    return ds.ParquetFileFormat(default_fragment_scan_options=options)


def _has_lists(schema: pa.Schema) -> bool:
    return any(pa.types.is_nested(field.type) for field in schema)


def _plain_columns(schema: pa.Schema) -> list[str]:
    """Columns worth a dictionary; one over lists of floats costs time and saves nothing."""
    return [field.name for field in schema if not pa.types.is_nested(field.type)]


def _float_lists(schema: pa.Schema) -> list[str]:
    """Lists of float32 and float64 by their Parquet paths.

    Written byte by byte of all numbers, whose exponents zstd then finds side by side: norms take 9 % less, and reading
    them no longer (benchmarks/norms.py). Not of float16, which DuckDB cannot read that way.
    """
    split = pa.float32(), pa.float64()
    return [
        f"{field.name}.list.element"
        for field in schema
        if pa.types.is_nested(field.type) and field.type.value_type in split
    ]
