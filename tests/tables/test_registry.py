import pyarrow as pa
import pytest

from clipneuron.tables import registry as tables
from tests.samples.tables import means, norms

SHAPES = {name: {"layers": (8, 9), "neurons": 3} for name in tables.WIDE}


@pytest.mark.parametrize("name", sorted(tables.TABLES))
def test_every_column_of_every_table_is_described(name: str) -> None:
    schema = tables.schema(name, **SHAPES.get(name, {}))
    assert schema.metadata[b"table"].decode() == name
    for field in schema:
        assert len(field.metadata[b"description"]) > 5, field.name


@pytest.mark.parametrize("name", sorted(tables.TABLES))
def test_an_empty_table_of_each_kind_conforms(name: str) -> None:
    schema = tables.schema(name, **SHAPES.get(name, {}))
    assert tables.conform(name, schema.empty_table()).schema.equals(schema, check_metadata=True)


def test_an_unknown_table_names_the_known_ones() -> None:
    with pytest.raises(
        ValueError,
        match=r"no table 'effect'; there are acting_effects, activation_means, .*direct_effects, directions",
    ):
        tables.schema("effect")


def test_columns_are_put_in_order_and_described() -> None:
    table = means(1.0)
    shuffled = table.select(["coefficients", "neuron", "count", "layer"]).replace_schema_metadata()
    checked = tables.conform("means", shuffled)
    assert checked.equals(table)
    assert checked.schema.equals(tables.schema("means"), check_metadata=True)


def test_every_misfit_is_listed() -> None:
    wrong = pa.table(
        {"layer": pa.array([8], pa.int64()), "neuron": pa.array([None], pa.int32()), "x": [1]}
    )
    with pytest.raises(ValueError, match="not the table 'means'") as caught:
        tables.check(wrong, tables.schema("means"))
    for part in (
        "count (int64) is missing",
        "coefficients (list<element: double>) is missing",
        "x was not expected",
        "layer is int64, not int16",
        "neuron has 1 nulls, but needs a value everywhere",
    ):
        assert part in str(caught.value)


def test_a_column_that_is_there_twice_is_a_misfit() -> None:
    table = means(1.0)
    twice = table.append_column("layer", table["layer"])
    with pytest.raises(ValueError, match="layer is there twice"):
        tables.conform("means", twice)


def test_norms_take_their_shape_from_the_table() -> None:
    table = norms(["a", "b"], layers=(3, 11), neurons=5)
    assert tables.conform("norms", table).schema.names[-2:] == ["layer_3", "layer_11"]


def test_norms_may_be_in_float16_if_they_all_are() -> None:
    short = tables.schema("norms", layers=(3, 11), neurons=5, numbers=pa.float16())
    table = norms(["a"], layers=(3, 11), neurons=5).cast(short)
    assert tables.conform("norms", table).schema.field("layer_3").type.value_type == pa.float16()
    mixed = table.set_column(
        7,
        short.field(7).with_type(pa.list_(pa.float32(), 5)),
        table[7].cast(pa.list_(pa.float32(), 5)),
    )
    with pytest.raises(
        ValueError, match=r"layer_3 is fixed_size_list<.*halffloat.*>.* not .*float"
    ):
        tables.conform("norms", mixed)
    with pytest.raises(ValueError, match=r"layer_3 is fixed_size_list<.*halffloat"):
        tables.conform("projections", table.select(["layer_3"]))


def test_a_failed_picture_has_null_norms() -> None:
    schema = tables.schema("norms", layers=[3], neurons=2)
    row = {
        "index": 0,
        "image": "a",
        "label": None,
        "status": "missing",
        "reason": "gone",
        "note": None,
        "layer_3": None,
    }
    assert tables.conform("norms", pa.Table.from_pylist([row], schema=schema)).num_rows == 1


def test_norms_of_unequal_length_are_refused() -> None:
    table = norms(["a"], layers=(3,), neurons=5)
    other = pa.array([[1.0, 2.0]], pa.list_(pa.float32(), 2))
    with pytest.raises(ValueError, match="of one length"):
        tables.conform("norms", table.append_column("layer_4", other))
    with pytest.raises(ValueError, match="fixed_size_list"):
        tables.conform("norms", table.append_column("layer_4", pa.array([[1.0]])))
    with pytest.raises(ValueError, match="of one length"):
        tables.conform("norms", table.drop_columns(["layer_3"]))
