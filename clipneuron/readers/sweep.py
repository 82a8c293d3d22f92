"""Tables read back as the lens's objects: mean effects, summaries and remainders of a run."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clipneuron.data.collections import Pictures
from clipneuron.data.plans import latest, to_retry
from clipneuron.lens.effects import SecondOrderLens
from clipneuron.lens.options import Preparation
from clipneuron.lens.pursuit import prepare
from clipneuron.lens.summaries import Moments, Summary, best_keys, merge, top_keys
from clipneuron.readers.arrow import list_column, neuron_columns, table_of, tensor
from clipneuron.store.store import Failure, Run
from clipneuron.tables import registry as tables

AXES_KNOWN = 4
"""Images of D per coordinate from which on its axes are those of other images as well."""


@dataclass(frozen=True)
class MeanEffect:
    """The mean effect b_n of a layer over D, in coefficient space."""

    coefficients: Float[Tensor, "neuron path"]
    remainder: Float[Tensor, "coordinate"]
    axes: Float[Tensor, "coordinate axis"]
    """The axes along which the remainders differ between the images of D."""
    count: int
    """Images of D that were counted."""

    def inside(self, lens: SecondOrderLens) -> tuple[SecondOrderLens, Float[Tensor, "coordinate"]]:
        """The lens for images of D, whose remainders differ along `axes` alone, and the mean remainder in it."""
        return lens.narrowed(self.axes), self.remainder @ self.axes

    @property
    def known_axes(self) -> Float[Tensor, "coordinate axis"] | None:
        """The axes for images outside D; None, for all coordinates, where D is too small to know them.

        N images span at most N - 1 axes. With fewer images than coordinates, norms of other images are wrong by up to
        20 %; with twice as many, rounding is all that is left (measured on towers of 4 to 12 layers and on the demo's).
        """
        return self.axes if self.count >= AXES_KNOWN * len(self.axes) else None

    def outside(self, lens: SecondOrderLens) -> tuple[SecondOrderLens, Float[Tensor, "coordinate"]]:
        """The layer's lens for images outside D, and the mean remainder in its coordinates."""
        return (lens, self.remainder) if self.known_axes is None else self.inside(lens)

    def lens_for(
        self, lens: SecondOrderLens, beyond: bool
    ) -> tuple[SecondOrderLens, Float[Tensor, "coordinate"]]:
        """`outside` for shards that are `beyond` D and may lie beside its axes, else `inside`.

        Where the axes are all that there are, both are the same space, and coordinates of both are along the axes.
        """
        coordinates, axes = self.axes.shape
        return self.outside(lens) if beyond and axes < coordinates else self.inside(lens)

    def in_one_space(self, found: "Remainders") -> Float[Tensor, "*rows coordinate"]:
        """Remainders of images of D and of others, along the axes if that is what all of them are along."""
        along = self.axes.to(found.coordinates)
        if found.coordinates.shape[-1] == along.shape[1]:
            return found.coordinates
        known = found.coordinates[..., : along.shape[1]] @ along.mT
        return torch.where(found.along_axes[..., None], known, found.coordinates)

    def basis(self, lens: SecondOrderLens, size: int) -> Float[Tensor, "coordinate embed"]:
        """Where that many coordinates of `in_one_space` land in the joint space."""
        whole = lens.remainder_basis
        return self.axes.to(whole).mT @ whole if size == self.axes.shape[1] else whole


@dataclass(frozen=True)
class Remainders:
    """Centred remainders of images, as shards hold them: along the axes of D, or with all coordinates."""

    coordinates: Float[Tensor, "*rows coordinate"]
    """Zero in the places that an image has no coordinate for."""
    along_axes: Bool[Tensor, "*rows"]
    """Whether an image has fewer coordinates than others of the layer: those along the axes."""

    def of(self, rows: Int[Tensor, "*some"] | slice) -> "Remainders":
        """Those of some."""
        return Remainders(self.coordinates[rows], self.along_axes[rows])


@dataclass(frozen=True)
class NeuronBlock:
    """Neurons first..first+size-1 of one layer: the unit of work of the per-neuron stages."""

    layer: int
    first: int
    size: int

    @property
    def name(self) -> str:
        """A stable name for the block's shard."""
        return f"layer-{self.layer:02d}-neurons-{self.first:05d}"

    @property
    def neurons(self) -> slice:
        """The block's neurons."""
        return slice(self.first, self.first + self.size)

    @property
    def filters(self) -> list[tuple[str, str, int]]:
        """The block as a filter on tables with the columns layer and neuron."""
        return [
            ("layer", "==", self.layer),
            ("neuron", ">=", self.first),
            ("neuron", "<", self.first + self.size),
        ]


def neuron_blocks(layers: Sequence[int], neurons: int, size: int) -> list[NeuronBlock]:
    """All neurons of the layers, at most `size` at a time."""
    return [
        NeuronBlock(layer, first, min(size, neurons - first))
        for layer in layers
        for first in range(0, neurons, size)
    ]


def mean_effects(run: Run, stage: str, layers: Sequence[int]) -> dict[int, MeanEffect]:
    """The mean effects that a stage `calibrate` has committed, merged over its shards in shard order.

    Raises ValueError when no picture was counted.
    """
    sums: dict[int, Moments] = {}
    for shard in run.committed(stage):
        means = run.read(stage, "means", shards=[shard])
        remainders = run.read(stage, "remainder_means", shards=[shard])
        for layer in layers:
            moments = _moments(_of_layer(means, layer), _of_layer(remainders, layer))
            sums[layer] = sums[layer] + moments if layer in sums else moments
    return {
        layer: MeanEffect(*moments.mean, moments.axes, moments.count)
        for layer, moments in sums.items()
    }


@dataclass(frozen=True)
class Part:
    """Some shards of a stage, as the place to read a table from."""

    stage: str
    shards: tuple[str, ...]


def merged(run: Run, block: NeuronBlock, source: Part) -> Summary:
    """What the shards know together of a block of neurons; one of them is in memory at a time."""
    return merge(
        _summary(run.read(source.stage, "summaries", shards=[shard], filters=block.filters))
        for shard in source.shards
    ).ranked()


def bounds(
    run: Run, source: Part, layers: Sequence[int], top: int
) -> dict[int, Int[Tensor, "neuron"]]:
    """Per layer, the least of each neuron's `top` largest keys in those of the shards that are committed.

    -1 where they have fewer pictures; nothing at all where no shard is committed, or none is named.
    """
    done, found = run.done(source.stage), dict[int, Tensor]()
    for shard in source.shards:
        if shard not in done:
            continue
        table = run.read(source.stage, "summaries", columns=_KEYS, shards=[shard])
        for layer in layers:
            keys = _keys(_of_layer(table, layer))
            known = found.get(layer, keys.new_full((len(keys), top), -1))
            found[layer] = best_keys(known, keys)
    return {layer: keys[:, -1] for layer, keys in found.items()}


_KEYS = ["layer", "neuron", "top_norms", "top_images"]


def summary_table(layer: int, first: int, summary: Summary) -> pa.Table:
    """The table `summaries` for the neurons of a layer from `first` on, a row per neuron."""
    floats, neurons = pa.list_(pa.float32()), len(summary.keys)
    columns = {
        **neuron_columns(layer, first, neurons),
        "count": pa.array([summary.count] * neurons, pa.int64()),
        "norm_sum": summary.norm_sum.cpu().numpy(),
        "square_sum": summary.square_sum.cpu().numpy(),
        "fourth_sum": summary.fourth_sum.cpu().numpy(),
        "histogram": list_column(summary.histogram, pa.list_(pa.int64())),
        "top_norms": list_column(summary.top_norms, floats),
        "top_images": list_column(summary.top_images, pa.list_(pa.int64())),
        "top_coefficients": list_column(summary.coefficients, floats),
    }
    return table_of(columns, tables.schema("summaries"))


def remainders(
    run: Run, stage: str, layer: int, swept: Sequence[str]
) -> tuple[Int[Tensor, "image"], Remainders]:
    """Numbers and centred remainders of the pictures of a sweep's shards, by rising number."""
    own = [("layer", "==", layer)]
    table = run.read(stage, "remainders", shards=swept, filters=own).sort_by("index")
    sizes = tensor(pc.list_value_length(table["coordinates"]))
    along_axes = sizes < sizes.max()
    if not along_axes.any():  # gigabytes of a large collection, which are not copied
        return tensor(table["index"]), Remainders(tensor(table["coordinates"]), along_axes)
    found = torch.zeros(len(sizes), int(sizes.max()))
    for size in set(sizes.tolist()):
        same = sizes == size
        found[same, :size] = tensor(table["coordinates"].filter(pa.array(same.numpy())))
    return tensor(table["index"]), Remainders(found, along_axes)


@dataclass(frozen=True)
class PreparedTexts:
    """A pool's texts with their prepared embeddings, as an array that processes of a node can share."""

    words: tuple[str, ...]
    matrix: Float[np.ndarray, "text embed"]


def words_table(
    layer: int,
    neurons: Int[Tensor, "neuron"],
    indices: Int[Tensor, "neuron place"],
    weights: Float[Tensor, "neuron place"],
    given: Bool[Tensor, "neuron place"],
    texts: Sequence[str],
) -> pa.Table:
    """The table `neuron_words` of a describer: the texts that are given, by falling |weight|."""
    order = weights.abs().argsort(dim=1, descending=True, stable=True)
    indices, weights, given = (each.gather(1, order).cpu() for each in (indices, weights, given))
    row, place = given.nonzero(as_tuple=True)
    chosen = indices[row, place].numpy().astype(np.int32)
    columns = {
        "layer": np.full(len(row), layer, dtype=np.int16),
        "neuron": neurons[row].numpy().astype(np.int32),
        "place": place.numpy().astype(np.int16),
        "text": pa.array([texts[index] for index in chosen.tolist()], pa.string()),
        "text_index": chosen,
        "weight": weights[row, place].float().numpy(),
    }
    return table_of(columns, tables.schema("neuron_words"))


def pool_texts(run: Run, stage: str) -> list[str]:
    """The texts of the pool that a stage has encoded, by their number."""
    rows = run.read(stage, "text_embeddings", columns=["text_index", "text"])
    found: list[str] = rows.sort_by("text_index")["text"].to_pylist()
    return found


def prepared_texts(run: Run, stage: str, preparation: Preparation) -> PreparedTexts:
    """The pool that a stage has encoded, as the pursuit sees it."""
    pool = run.read(stage, "text_embeddings").sort_by("text_index")
    matrix = prepare(tensor(pool["embedding"]), preparation)
    return PreparedTexts(tuple(pool["text"].to_pylist()), matrix.numpy())


@dataclass(frozen=True)
class Planned:
    """What the run's table `plan` says, read once: everything that a pipeline's stages are cut by."""

    parts: int
    """One, and one more for each time that the collection grew."""
    shards: tuple[str, ...]
    """Of pictures, in order."""
    pictures: Pictures
    """Each at its number."""

    @classmethod
    def of(cls, run: Run) -> "Planned":
        """The whole plan; raises StoreError where there is none yet."""
        table = run.read("plan", "plan")
        shards = sorted(pc.unique(table["shard"]).to_pylist())
        return cls(pc.max(table["part"]).as_py() + 1, tuple(shards), Pictures(latest(table)))


def grown(parts: int) -> dict[str, object]:
    """What a plan of so many parts adds to the identity of stages over all pictures: nothing before it has grown."""
    return {"parts": parts} if parts > 1 else {}


def unusable(run: Run) -> dict[tuple[str, str], Failure]:
    """The pictures whose last try failed, each with the shard of that try, and why; shard by shard."""
    commits = run.committed("effects").values()
    failures = {(item.image, commit.shard): item for commit in commits for item in commit.failures}
    failed: dict[str, set[str]] = {}
    for image, shard in failures:
        failed.setdefault(shard, set()).add(image)
    last = to_retry(run.read("plan", "plan"), failed) if failed else ()
    return {key: failures[key] for key in sorted(last, key=lambda key: (key[1], key[0]))}


def _of_layer(table: pa.Table, layer: int) -> pa.Table:
    return table.filter(pc.equal(table["layer"], layer))


def _moments(means: pa.Table, remainders: pa.Table) -> Moments:
    coordinates = tensor(remainders["coordinates"])[0]
    size = len(coordinates)
    return Moments(
        int(means["count"][0].as_py()),
        tensor(means["coefficients"]),
        coordinates,
        tensor(remainders["products"])[0].reshape(size, size),
    )


def _keys(table: pa.Table) -> Int[Tensor, "neuron top"]:
    norms, images = tensor(table["top_norms"]), tensor(table["top_images"])
    return torch.where(images < 0, -1, top_keys(norms, images.clamp(min=0)))


def _summary(table: pa.Table) -> Summary:
    keys = _keys(table)
    return Summary(
        int(table["count"][0].as_py()),
        tensor(table["norm_sum"]),
        tensor(table["square_sum"]),
        tensor(table["fourth_sum"]),
        tensor(table["histogram"]),
        keys,
        tensor(table["top_coefficients"]).reshape(*keys.shape, -1),
    )


def positions(
    numbers: Int[Tensor, "image"], wanted: Int[Tensor, "*batch"]
) -> Int[Tensor, "*batch"]:
    """Where each wanted picture number stands in the sorted `numbers`; unused places (-1) give 0."""
    found = np.searchsorted(numbers.numpy(), wanted.clamp(min=0).numpy())
    return torch.from_numpy(found).clamp(max=max(len(numbers) - 1, 0))
