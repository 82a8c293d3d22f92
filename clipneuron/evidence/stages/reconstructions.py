"""reconstructions: every direction as the sum of the first m texts of its description, for all m at once (Fig. 4)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float, Int
from torch import Tensor

from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.lens.options import Preparation
from clipneuron.lens.pursuit import STOPPED, prefix_weights, reconstruction
from clipneuron.readers.arrow import list_column, neuron_columns, table_of, tensor, unchanging
from clipneuron.readers.lenses import placed, reachable
from clipneuron.readers.sweep import NeuronBlock, PreparedTexts, neuron_blocks, prepared_texts
from clipneuron.store.store import Run
from clipneuron.tables import registry as tables


@dataclass(frozen=True)
class ReconstructionsStage(Stage):
    """Refits the prefixes of descriptions, block by block: one pursuit of the largest m serves all sizes."""

    texts: Upstream
    directions: Upstream
    descriptions: Upstream
    pool: str
    """The pool's name."""
    layers: tuple[int, ...]
    neurons: int
    block: int
    sizes: tuple[int, ...]
    preparation: Preparation
    device: str
    resources: Resources = Resources()

    kind = "reconstructions"
    writes = ("reconstructions",)
    unit = "neurons"

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The directions, their descriptions and the encoded pool."""
        return (self.directions, self.descriptions, self.texts)

    @property
    def label(self) -> str:
        """The pool's name."""
        return self.pool

    @property
    def identity(self) -> Mapping[str, object]:
        """Which neurons, with how many texts, and how texts are prepared."""
        return {"layers": self.layers, "sizes": self.sizes, "preparation": self.preparation}

    def shards(self, run: Run) -> Sequence[Shard]:
        """A shard per block of neurons."""
        blocks = neuron_blocks(self.layers, self.neurons, self.block)
        return [Shard(block.name, block.size, block) for block in blocks]

    def loader(self, run: Run) -> "ReconstructionsLoader":
        """Reads directions and which texts describe them."""
        return ReconstructionsLoader(run, self.directions.name, self.descriptions.name)

    def share(self, run: Run) -> PreparedTexts:
        """The prepared text matrix."""
        return prepared_texts(run, self.texts.name, self.preparation)

    def build(self, shared: PreparedTexts) -> "ReconstructionsWorker":
        """A worker on the text matrix."""
        matrix = unchanging(shared.matrix).to(placed(reachable(self.device)))
        return ReconstructionsWorker(self.sizes, matrix)


@dataclass(frozen=True)
class DescribedBlock:
    """The directions of a block and the texts of their descriptions, in the order they were found."""

    block: NeuronBlock
    directions: Float[Tensor, "neuron embed"]
    indices: Int[Tensor, "neuron atom"]


@dataclass(frozen=True)
class ReconstructionsLoader:
    """Reads a block's directions and descriptions."""

    run: Run
    directions: str
    descriptions: str

    def load(self, shard: Shard) -> DescribedBlock:
        """The block, its directions and its texts."""
        block: NeuronBlock = shard.payload
        read, columns = self.run.read, ["neuron", "direction"]
        rows = read(self.directions, "directions", columns=columns, filters=block.filters)
        columns = ["neuron", "atom", "text_index"]
        words = read(self.descriptions, "descriptions", columns=columns, filters=block.filters)
        directions = tensor(rows.sort_by("neuron")["direction"])
        return DescribedBlock(block, directions, _indices(words, block))


def _indices(words: pa.Table, block: NeuronBlock) -> Int[Tensor, "neuron atom"]:
    atoms = int(words["atom"].to_numpy().max(initial=0)) + 1
    indices = torch.full((block.size, atoms), STOPPED)
    neuron = torch.from_numpy(words["neuron"].to_numpy().astype(np.int64)) - block.first
    indices[neuron, tensor(words["atom"]).long()] = tensor(words["text_index"]).long()
    return indices


class ReconstructionsWorker:
    """Refits one block after another."""

    def __init__(self, sizes: tuple[int, ...], texts: Float[Tensor, "text embed"]) -> None:
        self.sizes, self.texts = sizes, texts

    @torch.inference_mode()
    def process(self, loaded: DescribedBlock, advance: Advance) -> Output:
        """The table `reconstructions`: one row per neuron and size."""
        indices = loaded.indices.to(self.texts.device)
        # A description that ended early has all it can have: larger sizes change nothing any more.
        prefixes = [min(size, indices.shape[1]) for size in self.sizes]
        directions = loaded.directions.to(self.texts)
        weights = prefix_weights(directions, self.texts, indices, prefixes)
        parts = [
            _table(loaded.block, size, reconstruction(self.texts, indices, mine))
            for size, mine in zip(self.sizes, weights, strict=True)
        ]
        advance(loaded.block.size)
        return Output({"reconstructions": pa.concat_tables(parts)})


def _table(block: NeuronBlock, size: int, sums: Float[Tensor, "neuron embed"]) -> pa.Table:
    columns = {
        **neuron_columns(block.layer, block.first, block.size),
        "atoms": pa.array([size] * block.size, pa.int16()),
        "reconstruction": list_column(sums.float(), pa.list_(pa.float32())),
    }
    return table_of(columns, tables.schema("reconstructions"))
