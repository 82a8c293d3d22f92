from itertools import pairwise
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipneuron.store import parquet
from clipneuron.tables import registry as tables
from tests.samples.tables import means, norms

rows = st.lists(
    st.fixed_dictionaries(
        {
            "layer": st.integers(0, 11),
            "neuron": st.integers(0, 99),
            "count": st.integers(0, 2**40),
            "coefficients": st.lists(st.floats(allow_nan=False), max_size=3),
        }
    ),
    max_size=12,
)


def cut(table: pa.Table, places: list[int]) -> pa.Table:
    """An equal table in other chunks, each a slice of a larger one."""
    edges = [0, *sorted(place % (table.num_rows + 1) for place in places), table.num_rows]
    return pa.concat_tables([table.slice(a, b - a) for a, b in pairwise(edges)])


@settings(max_examples=40)
@given(rows, st.lists(st.integers(0, 50), max_size=3))
def test_equal_tables_give_equal_bytes(rows: list[dict[str, object]], places: list[int]) -> None:
    table = pa.Table.from_pylist(rows, schema=tables.schema("means"))
    other = cut(pa.concat_tables([table, table]).slice(len(rows)), places)
    assert other.equals(table)
    assert parquet.encode(tables.conform("means", other)) == parquet.encode(table)


def test_chunks_do_not_show_in_the_bytes_of_a_table_of_many_pages() -> None:
    table = means(1.0, rows=5000, path=40)
    assert parquet.encode(cut(table, [1000, 4333])) == parquet.encode(table)


def test_nulls_hide_what_is_behind_them() -> None:
    schema = tables.schema("norms", layers=[3], neurons=2)
    row = {
        "index": 0,
        "image": "a",
        "label": None,
        "status": "empty",
        "reason": "x",
        "note": None,
        "layer_3": None,
    }
    table = pa.Table.from_pylist([row], schema=schema)
    filled = pa.FixedSizeListArray.from_arrays(
        pa.array([7.0, 7.0], pa.float32()), 2, mask=pa.array([True])
    )
    other = tables.conform(
        "norms", table.set_column(table.schema.get_field_index("layer_3"), "layer_3", filled)
    )
    assert parquet.encode(other) == parquet.encode(table)


@settings(max_examples=20)
@given(rows)
def test_a_table_comes_back_with_its_schema(rows: list[dict[str, object]]) -> None:
    table = pa.Table.from_pylist(rows, schema=tables.schema("means"))
    back = parquet.decode(parquet.encode(table))
    assert back.equals(table)
    assert back.schema.equals(table.schema, check_metadata=True)


def test_files_are_compressed_and_have_statistics_and_row_groups() -> None:
    data = parquet.encode(means(1.0, rows=5000))
    metadata = pq.read_metadata(pa.BufferReader(data))
    column = metadata.row_group(0).column(1)
    assert metadata.num_row_groups == 20  # rows that hold lists come in groups of 256
    assert column.compression == "ZSTD"
    assert (column.statistics.min, column.statistics.max) == (0, 255)


@pytest.mark.parametrize("kind", ["float32", "float16"])
def test_lists_of_floats_are_split_as_far_as_others_read_them(tmp_path: Path, kind: str) -> None:
    schema = tables.schema("norms", layers=[8], neurons=3, numbers=pa.type_for_alias(kind))
    file = tmp_path / "norms.parquet"
    file.write_bytes(parquet.encode(norms(["a", "b"], layers=(8,)).cast(schema)))
    group = pq.read_metadata(file).row_group(0)
    encodings = {group.column(n).path_in_schema: group.column(n).encodings for n in range(7)}
    split = [name for name, found in encodings.items() if "BYTE_STREAM_SPLIT" in found]
    assert split == (["layer_8.list.element"] if kind == "float32" else [])
    found = duckdb.execute("select layer_8[2] from read_parquet($1)", [str(file)]).fetchall()
    assert found == [(8.0,), (8.0,)]


def test_a_table_whose_lists_are_not_split_is_read_as_ever(tmp_path: Path) -> None:
    """As stores of earlier versions have them."""
    table, sink = norms(["a", "b"], layers=(8,)), pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True, use_dictionary=False)
    assert parquet.decode(sink.getvalue().to_pybytes()).equals(table)


def test_any_flipped_bit_before_the_footer_is_an_error_or_harmless() -> None:
    table = norms(["a", "b", "c"], layers=(8,), neurons=4)
    data = parquet.encode(table)
    for place in range(len(data) - len(parquet.footer(data))):
        damaged = bytearray(data)
        damaged[place] ^= 1 << (place % 8)
        try:
            assert parquet.decode(bytes(damaged)).equals(table), place
        except (pa.ArrowException, OSError):
            continue


def test_a_flipped_byte_in_a_data_page_is_an_error() -> None:
    data = parquet.encode(means(1.5))
    column = pq.read_metadata(pa.BufferReader(data)).row_group(0).column(3)
    damaged = bytearray(data)
    damaged[column.data_page_offset + column.total_compressed_size - 1] ^= 0xFF
    with pytest.raises((pa.ArrowException, OSError)):
        parquet.decode(bytes(damaged), columns=["coefficients"])


def test_the_footer_is_what_readers_start_from() -> None:
    data = parquet.encode(means(1.0))
    footer = parquet.footer(data)
    assert footer.endswith(b"PAR1")
    assert 12 < len(footer) < len(data)
