"""descriptions: every direction as a sparse sum of texts (Sec. 4), by orthogonal matching pursuit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.lens.options import Preparation
from clipneuron.lens.pursuit import Pursuit, pursuit
from clipneuron.readers.arrow import table_of, tensor, unchanging
from clipneuron.readers.lenses import placed
from clipneuron.readers.sweep import NeuronBlock, PreparedTexts, neuron_blocks, prepared_texts
from clipneuron.store.store import Run
from clipneuron.tables import registry as tables

WORDS = 4


@dataclass(frozen=True)
class DescriptionsStage(Stage):
    """Describes neurons block by block; the text matrix is read once per process."""

    texts: Upstream
    directions: Upstream
    pool: str
    """The pool's name."""
    layers: tuple[int, ...]
    neurons: int
    block: int
    atoms: int
    preparation: Preparation
    device: str
    table: str = "directions"
    """The table of the directions: `directions`, or `indirect_directions` of some neurons only."""
    resources: Resources = Resources()

    kind = "descriptions"
    writes = ("descriptions", "neuron_words")
    unit = "neurons"

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The directions and the encoded pool."""
        return (self.directions, self.texts)

    @property
    def label(self) -> str:
        """The pool's name."""
        return self.pool

    @property
    def identity(self) -> Mapping[str, object]:
        """Which neurons are described, and how."""
        return {
            "table": self.table,
            "layers": self.layers,
            "preparation": self.preparation,
            "atoms": self.atoms,
            "words": WORDS,
        }

    def shards(self, run: Run) -> Sequence[Shard]:
        """A shard per block of neurons."""
        blocks = neuron_blocks(self.layers, self.neurons, self.block)
        return [Shard(block.name, block.size, block) for block in blocks]

    def loader(self, run: Run) -> "DescriptionsLoader":
        """Reads directions."""
        return DescriptionsLoader(run, self.directions.name, self.table)

    def share(self, run: Run) -> PreparedTexts:
        """The prepared text matrix."""
        return prepared_texts(run, self.texts.name, self.preparation)

    def build(self, shared: PreparedTexts) -> "DescriptionsWorker":
        """A worker on the text matrix."""
        return DescriptionsWorker(self, shared)


@dataclass(frozen=True)
class DescriptionsLoader:
    """Reads the directions of a block."""

    run: Run
    directions: str
    table: str

    def load(self, shard: Shard) -> tuple[NeuronBlock, pa.Table]:
        """The block, and its neurons with their directions."""
        block: NeuronBlock = shard.payload
        columns = ["neuron", "direction"]
        rows = self.run.read(self.directions, self.table, columns=columns, filters=block.filters)
        return block, rows.sort_by("neuron")


class DescriptionsWorker:
    """Runs the pursuit on one block after another."""

    def __init__(self, stage: DescriptionsStage, shared: PreparedTexts) -> None:
        self.stage = stage
        self.words = np.array(shared.words, dtype=object)
        self.texts = unchanging(shared.matrix).to(placed(stage.device))

    @torch.inference_mode()
    def process(self, loaded: tuple[NeuronBlock, pa.Table], advance: Advance) -> Output:
        """The table `descriptions`: one row per neuron and chosen text."""
        block, rows = loaded
        atoms = min(self.stage.atoms, *self.texts.shape)
        found = pursuit(tensor(rows["direction"]).to(self.texts), self.texts, atoms)
        advance(block.size)
        described = self._table(block.layer, tensor(rows["neuron"]), found)
        return Output({"descriptions": described, "neuron_words": _strongest(described)})

    def _table(self, layer: int, neurons: Tensor, found: Pursuit) -> pa.Table:
        neuron, atom = (found.indices >= 0).nonzero(as_tuple=True)
        indices = found.indices[neuron, atom].cpu().numpy()
        columns = {
            "layer": np.full(len(indices), layer, dtype=np.int16),
            "neuron": neurons[neuron.cpu()].numpy().astype(np.int32),
            "atom": atom.cpu().numpy().astype(np.int16),
            "text": pa.array(self.words[indices], pa.string()),
            "text_index": indices.astype(np.int32),
            "weight": found.weights[neuron, atom].float().cpu().numpy(),
            "residual": found.residuals[neuron, atom].float().cpu().numpy(),
        }
        return table_of(columns, tables.schema("descriptions"))


def _strongest(described: pa.Table) -> pa.Table:
    """The table `neuron_words`: the texts of largest absolute weight."""
    rows = described.to_pylist()
    rows.sort(key=lambda row: (row["neuron"], -abs(row["weight"])))
    places: dict[int, int] = {}
    for row in rows:
        row["place"] = places[row["neuron"]] = places.get(row["neuron"], -1) + 1
    chosen = [row for row in rows if row["place"] < WORDS]
    return pa.Table.from_pylist(chosen, schema=tables.schema("neuron_words"))
