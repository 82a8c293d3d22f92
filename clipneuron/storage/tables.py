"""Every table of a run, in one place: its columns, their types and one sentence about each.

To add a table, write a function that returns its schema and name it in `TABLES`. Units: `path` runs over the
second-order paths of a neuron (later layers and heads), `top` over its pictures of greatest norm.
"""

from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa

Columns = Mapping[str, tuple[pa.DataType, str]]

_LAYER = (pa.int16(), "layer of the neuron, 0-based")
_NEURON = (pa.int32(), "number of the neuron in its layer")
_COUNT = (pa.int64(), "pictures that were summed")
_INDEX = (pa.int64(), "global number of the picture, stable when a collection grows")
_IMAGE = (pa.string(), "id of the picture in its collection")


def schema(name: str, **shape: object) -> pa.Schema:
    """The schema of a table; `norms` takes `layers` and `neurons`, the others no shape.

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


def plan() -> pa.Schema:
    """Which pictures there are and which shard each belongs to."""
    return _schema(
        "plan",
        {
            "index": _INDEX,
            "image": _IMAGE,
            "shard": (pa.string(), "shard that the picture belongs to"),
            "label": (pa.int32(), "class of the picture, null where unknown"),
            "label_name": (pa.string(), "name of the class, null where unknown"),
            "source": (pa.string(), "file or object that holds it, relative to the collection"),
            "offset": (
                pa.int64(),
                "row in a Parquet file or first byte in a tar, null for a file of its own",
            ),
            "part": (pa.int32(), "0 for the first plan, n for its n-th extension"),
            "size": (pa.int64(), "bytes of the encoded picture, null in a Parquet file"),
            "etag": (pa.string(), "S3's mark of the source's content, null elsewhere"),
        },
        nullable=("label", "label_name", "offset", "size", "etag"),
    )


def means() -> pa.Schema:
    """Sums, over the pictures of a shard, of each neuron's coefficients s (calibrate)."""
    return _schema(
        "means",
        {
            "layer": _LAYER,
            "neuron": _NEURON,
            "count": _COUNT,
            "coefficients": (_list(pa.float64()), "sum of the coefficients s over them [path]"),
        },
    )


def remainder_means() -> pa.Schema:
    """Sums, over the pictures of a shard, of the effects' remainders (calibrate, split="equal")."""
    return _schema(
        "remainder_means",
        {
            "layer": _LAYER,
            "count": _COUNT,
            "coordinates": (_list(pa.float64()), "sum of the remainders' coordinates over them"),
            "products": (
                pa.list_(pa.float64()),
                "sum of the coordinates' products [coordinate, coordinate]",
            ),
        },
    )


def norms(layers: Sequence[int], neurons: int) -> pa.Schema:
    """Centred norms |phi - b| of every neuron on every picture, a row per picture (effects)."""
    effects = _list(pa.float32(), neurons)
    return _schema(
        "norms",
        {
            "index": _INDEX,
            "image": _IMAGE,
            "label": (pa.int32(), "class of the picture, null where unknown"),
            "status": (pa.string(), '"ok", or the kind of trouble with the picture'),
            "reason": (pa.string(), "the trouble in words, null when ok"),
        }
        | {
            f"layer_{layer}": (
                effects,
                f"|phi - b| of the neurons of layer {layer}, null if it failed",
            )
            for layer in layers
        },
        nullable=("label", "reason", *(f"layer_{layer}" for layer in layers)),
    )


def summaries() -> pa.Schema:
    """What the pictures of a shard say of each neuron, in a form that merges (effects)."""
    return _schema(
        "summaries",
        {
            "layer": _LAYER,
            "neuron": _NEURON,
            "count": _COUNT,
            "norm_sum": (pa.float64(), "sum of |phi - b|"),
            "square_sum": (pa.float64(), "sum of |phi - b|^2"),
            "fourth_sum": (pa.float64(), "sum of |phi - b|^4"),
            "histogram": (_list(pa.int64()), "pictures per bin of |phi - b|"),
            "top_norms": (_list(pa.float32()), "greatest |phi - b|, falling, 0 if unused [top]"),
            "top_images": (
                _list(pa.int64()),
                "index of the pictures that have them, -1 if unused [top]",
            ),
            "top_coefficients": (
                _list(pa.float32()),
                "their centred coefficients s, row after row [top, path]",
            ),
        },
    )


def remainders() -> pa.Schema:
    """What the coefficients of a layer leave out of its effects, a row per picture and layer (effects)."""
    return _schema(
        "remainders",
        {
            "index": _INDEX,
            "layer": _LAYER,
            "coordinates": (
                _list(pa.float32()),
                "the remainder, centred, along its principal axes [axis]",
            ),
        },
    )


def directions() -> pa.Schema:
    """The one direction that each neuron writes along in the output space, and how well it does."""
    return _schema(
        "directions",
        {
            "layer": _LAYER,
            "neuron": _NEURON,
            "direction": (_list(pa.float32()), "first principal component r, of unit length"),
            "mean": (_list(pa.float32()), "mean effect that was taken off"),
            "explained_variance": (pa.float32(), "share of the variance along the direction"),
            "threshold": (
                pa.float32(),
                "least |phi - b| among the top pictures",
            ),
            "quantile_98": (pa.float32(), "98 % quantile of |phi - b| over all pictures"),
            "share": (pa.float32(), "share of the pictures whose |phi - b| reaches the threshold"),
            "participation": (
                pa.float32(),
                "effective share of pictures, (sum x^2)^2 / (count sum x^4) of x = |phi - b|",
            ),
            "count": (pa.int64(), "pictures that the neuron was seen on"),
            "top_images": (
                _list(pa.int64()),
                "index of the pictures of greatest |phi - b|, -1 if unused [top]",
            ),
            "top_norms": (_list(pa.float32()), "their |phi - b| [top]"),
            "top_projections": (_list(pa.float32()), "their phi - b along the direction [top]"),
        },
    )


def descriptions() -> pa.Schema:
    """Each neuron's direction as a sparse sum of texts, a row per text."""
    return _schema(
        "descriptions",
        {
            "layer": _LAYER,
            "neuron": _NEURON,
            "atom": (pa.int16(), "place of the text in the decomposition, 0 is the first found"),
            "text": (pa.string(), "the text"),
            "text_index": (pa.int32(), "number of the text in its pool"),
            "weight": (pa.float32(), "its coefficient, with sign"),
            "residual": (pa.float32(), "|r - r_hat| after this text was added"),
        },
    )


def manifest() -> pa.Schema:
    """What a stage has committed, a row per object (one for a commit without any); derived from the commits."""
    return _schema(
        "manifest",
        {
            "shard": (pa.string(), "name of the shard"),
            "table": (pa.string(), "name of the table"),
            "key": (pa.string(), "the object, relative to the run"),
            "size": (pa.int64(), "its length in bytes"),
            "sha256": (pa.string(), "its digest, hexadecimal"),
            "rows": (pa.int64(), "rows of the table in this shard"),
            "failed": (pa.int64(), "pictures of the shard that could not be processed"),
            "seconds": (pa.float64(), "time that the shard took"),
            "attempt": (pa.string(), "attempt that committed it"),
            "stamp": (pa.string(), "the store's mark of the marker, in a shard's first row"),
            "marker": (pa.string(), "the marker's content as JSON, in a shard's first row"),
        },
        nullable=("table", "key", "size", "sha256", "rows", "stamp", "marker"),
    )


def text_embeddings() -> pa.Schema:
    """A text pool as the text tower encodes it, a row per text."""
    return _schema(
        "text_embeddings",
        {
            "text_index": (pa.int32(), "number of the text in its pool"),
            "text": (pa.string(), "the text"),
            "embedding": (pa.list_(pa.float32()), "M_text, not normalised [embed]"),
        },
    )


def explanations() -> pa.Schema:
    """How well each neuron's words predict its pictures, where the pictures' contents are known."""
    return _schema(
        "explanations",
        {
            "layer": _LAYER,
            "neuron": _NEURON,
            "auc": (
                pa.float32(),
                "AUC of its own words for its top pictures, NaN if there are none",
            ),
            "shuffled_auc": (pa.float32(), "the same with another neuron's words"),
            "positives": (pa.int32(), "its top pictures with a positive projection"),
        },
    )


TABLES: dict[str, Callable[..., pa.Schema]] = {
    function.__name__: function
    for function in (
        plan,
        means,
        remainder_means,
        norms,
        summaries,
        remainders,
        directions,
        descriptions,
        text_embeddings,
        explanations,
        manifest,
    )
}


def _schema(name: str, columns: Columns, *, nullable: Sequence[str] = ()) -> pa.Schema:
    fields = [
        pa.field(column, kind, column in nullable, metadata={"description": description})
        for column, (kind, description) in columns.items()
    ]
    return pa.schema(fields, metadata={"table": name})


def _list(kind: pa.DataType, length: int = -1) -> pa.DataType:
    # Parquet's own name for what a list holds, so that a table comes back with the schema it had.
    return pa.list_(pa.field("element", kind), length)


def _shape(name: str, found: pa.Schema) -> dict[str, object]:
    if name != "norms":
        return {}
    columns = [field for field in found if field.name.startswith("layer_")]
    if not all(pa.types.is_fixed_size_list(column.type) for column in columns):
        raise ValueError("in the table 'norms' every column layer_* is a fixed_size_list<float>")
    sizes = {column.type.list_size for column in columns}
    if len(sizes) != 1:
        raise ValueError(f"the table 'norms' needs columns layer_* of one length, not {sizes}")
    layers = [column.name.removeprefix("layer_") for column in columns]
    return {"layers": layers, "neurons": sizes.pop()}


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
