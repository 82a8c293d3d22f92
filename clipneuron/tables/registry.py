"""Every table of a run by its name, and the check that it is what its schema says.

To add a table, write a function that returns its schema and name it in `TABLES`.
"""

from collections.abc import Callable

import pyarrow as pa

from clipneuron.tables import atlas as atlas_tables
from clipneuron.tables import attack as attack_tables
from clipneuron.tables import concepts as concepts_tables
from clipneuron.tables import evidence as evidence_tables
from clipneuron.tables import explanation as explanation_tables
from clipneuron.tables import segmentation as segmentation_tables
from clipneuron.tables import sweep as sweep_tables


def schema(name: str, **shape: object) -> pa.Schema:
    """The schema of a table; those of `WIDE` take `layers` and `neurons`, the others no shape, and `norms` the type
    of its `numbers`.

    Raises ValueError for a name that is no table.
    """
    if name not in TABLES:
        raise ValueError(f"there is no table {name!r}; there are {', '.join(sorted(TABLES))}")
    return TABLES[name](**shape)


def check(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table under exactly this schema, in its column order and with its descriptions.

    Raises ValueError that lists every missing, unexpected, wrongly typed column and forbidden null.
    """
    problems = [*_misfits(table.schema, schema), *_forbidden_nulls(table, schema)]
    if problems:
        name = (schema.metadata or {}).get(b"table", b"table").decode()
        raise ValueError(f"this is not the table {name!r}: {'; '.join(problems)}")
    columns = [table.column(field.name) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def conform(name: str, table: pa.Table) -> pa.Table:
    """The table checked against the schema of its name, the shape being the table's own.

    Raises ValueError as `schema` and `check` do.
    """
    return check(table, schema(name, **_shape(name, table.schema)))


TABLES: dict[str, Callable[..., pa.Schema]] = {
    function.__name__: function
    for function in (
        sweep_tables.plan,
        sweep_tables.means,
        sweep_tables.remainder_means,
        sweep_tables.norms,
        sweep_tables.summaries,
        sweep_tables.remainders,
        sweep_tables.directions,
        sweep_tables.descriptions,
        sweep_tables.pursuits,
        sweep_tables.pools,
        sweep_tables.neuron_words,
        sweep_tables.text_embeddings,
        sweep_tables.manifest,
        evidence_tables.classifier,
        evidence_tables.predictions,
        evidence_tables.significance,
        evidence_tables.reconstructions,
        evidence_tables.first_order_means,
        evidence_tables.first_order,
        evidence_tables.activation_means,
        evidence_tables.indirect,
        evidence_tables.indirect_directions,
        explanation_tables.projections,
        explanation_tables.patch_activations,
        explanation_tables.acting_effects,
        explanation_tables.statements,
        explanation_tables.witness_embeddings,
        explanation_tables.scores,
        explanation_tables.output_scores,
        explanation_tables.painted_words,
        explanation_tables.cosy_scores,
        attack_tables.words,
        attack_tables.word_neurons,
        attack_tables.captions,
        attack_tables.pictures,
        attack_tables.verdicts,
        attack_tables.screening,
        segmentation_tables.class_neurons,
        segmentation_tables.segmentations,
        segmentation_tables.segmentation_scores,
        concepts_tables.direct_effects,
        concepts_tables.head_texts,
        concepts_tables.picture_concepts,
        concepts_tables.concept_pictures,
        concepts_tables.concept_scores,
        atlas_tables.shown_pictures,
        atlas_tables.active_neurons,
        atlas_tables.thumbnails,
        atlas_tables.heats,
        atlas_tables.class_maps,
        atlas_tables.neuron_profiles,
        atlas_tables.near_neurons,
        atlas_tables.pages,
    )
}


ACCOUNTED = (
    "norms", "predictions", "projections", "witness_embeddings", "pictures", "verdicts", "segmentations",
    "picture_concepts", "concept_scores", "thumbnails",
)  # fmt: skip
"""Tables that have a row, with its status, for everything that failed in their shard."""


WIDE = ("norms", "projections", "patch_activations")
"""Tables with a column of all neurons per layer."""

_SHORT = ("norms",)
"""Those of them whose numbers may be in float16."""


def _shape(name: str, found: pa.Schema) -> dict[str, object]:
    if name not in WIDE:
        return {}
    columns = [field for field in found if field.name.startswith("layer_")]
    if not all(pa.types.is_fixed_size_list(column.type) for column in columns):
        raise ValueError(f"in the table {name!r} every column layer_* is a fixed_size_list<float>")
    sizes = {column.type.list_size for column in columns}
    if len(sizes) != 1:
        raise ValueError(f"the table {name!r} needs columns layer_* of one length, not {sizes}")
    layers = [column.name.removeprefix("layer_") for column in columns]
    shape: dict[str, object] = {"layers": layers, "neurons": sizes.pop()}
    if name in _SHORT and {column.type.value_type for column in columns} == {pa.float16()}:
        shape["numbers"] = pa.float16()
    return shape


def _misfits(found: pa.Schema, declared: pa.Schema) -> list[str]:
    missing = [f"{f.name} ({f.type}) is missing" for f in declared if f.name not in found.names]
    extra = [f"{name} was not expected" for name in found.names if name not in declared.names]
    wrong = [
        f"{name} is {found.field(name).type}, not {declared.field(name).type}"
        for name in declared.names
        if found.names.count(name) == 1 and found.field(name).type != declared.field(name).type
    ]
    twice = [f"{name} is there twice" for name in declared.names if found.names.count(name) > 1]
    return [*missing, *extra, *wrong, *twice]


def _forbidden_nulls(table: pa.Table, declared: pa.Schema) -> list[str]:
    return [
        f"{field.name} has {table.column(field.name).null_count} nulls, but needs a value everywhere"
        for field in declared
        if not field.nullable
        and table.schema.names.count(field.name) == 1
        and table.column(field.name).null_count
    ]
