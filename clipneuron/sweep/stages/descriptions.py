"""descriptions: every direction as a sparse sum of texts (Sec. 4), by orthogonal matching pursuit.

One pass serves two uses: the long description is what the paper's claims are about, the short one, whose weights are
refitted, gives the words that people read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.lens.options import Preparation
from clipneuron.lens.pursuit import Solution, solutions
from clipneuron.readers.arrow import table_of, tensor, unchanging
from clipneuron.readers.lenses import placed, reachable
from clipneuron.readers.sweep import (
    NeuronBlock,
    PreparedTexts,
    neuron_blocks,
    prepared_texts,
    words_table,
)
from clipneuron.store.store import Run
from clipneuron.tables import registry as tables

BOUND = 2.0
"""The longest summand, in lengths of the direction, beyond which a description is ill-conditioned.

Two texts of cosine 0.8, as CLIP's have, whose difference the direction is, take 1.6 each. Measured on the demo's
held-out scenes, pursuits of all lengths together (`benchmarks/describers.py`): below 1 the median correlation of the
words is 0.1 to 0.2, from 2 to 3 it is 0.01. A bound of 1 would serve the demo as well, and would silence differences of
alike texts.
"""


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
    """Texts of the long description."""
    words: int
    """Texts of the short one."""
    negative: bool
    """Whether the short one may have negative weights."""
    preparation: Preparation
    device: str
    table: str = "directions"
    """The table of the directions: `directions`, or `indirect_directions` of some neurons only."""
    resources: Resources = Resources()

    kind = "descriptions"
    writes = ("descriptions", "neuron_words", "pursuits")
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
            "words": self.words,
            "negative": self.negative,
            "bound": BOUND,
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
        self.words = shared.words
        self.texts = unchanging(shared.matrix).to(placed(reachable(stage.device)))

    @torch.inference_mode()
    def process(self, loaded: tuple[NeuronBlock, pa.Table], advance: Advance) -> Output:
        """The tables `descriptions`, `neuron_words` and `pursuits`."""
        block, rows = loaded
        directions = tensor(rows["direction"]).to(self.texts)
        long, short = self._solutions(directions)
        neurons = tensor(rows["neuron"])
        advance(block.size)
        return Output(
            {
                "descriptions": self._descriptions(block.layer, neurons, long),
                "neuron_words": self._words(block.layer, neurons, short),
                "pursuits": _pursuits(block.layer, neurons, long, short),
            }
        )

    def _solutions(self, directions: Tensor) -> tuple[Solution, Solution]:
        """The long and the short one, of one pass unless the short one has other choices to make."""
        atoms, words = (min(n, *self.texts.shape) for n in (self.stage.atoms, self.stage.words))
        if self.stage.negative:
            long, short = solutions(directions, self.texts, [atoms, words])
            return long, short
        (long,) = solutions(directions, self.texts, [atoms])
        (short,) = solutions(directions, self.texts, [words], nonnegative=True)
        # A text that a later one made superfluous stays in the support with weight 0: it is no word of the neuron.
        used = short.indices.where(short.weights != 0, -1)
        return long, short._replace(indices=used)

    def _descriptions(self, layer: int, neurons: Tensor, found: Solution) -> pa.Table:
        neuron, atom = (found.indices >= 0).nonzero(as_tuple=True)
        indices = found.indices[neuron, atom].cpu().numpy()
        columns = {
            "layer": np.full(len(indices), layer, dtype=np.int16),
            "neuron": neurons[neuron.cpu()].numpy().astype(np.int32),
            "text": pa.array([self.words[index] for index in indices.tolist()], pa.string()),
            "text_index": indices.astype(np.int32),
            "atom": atom.cpu().numpy().astype(np.int16),
            "weight": found.weights[neuron, atom].float().cpu().numpy(),
            "residual": found.residuals[neuron, atom].float().cpu().numpy(),
        }
        return table_of(columns, tables.schema("descriptions"))

    def _words(self, layer: int, neurons: Tensor, found: Solution) -> pa.Table:
        """An ill-conditioned neuron has none."""
        given = (found.indices >= 0) & (found.largest <= BOUND)[:, None]
        return words_table(layer, neurons, found.indices, found.weights, given, self.words)


def _pursuits(layer: int, neurons: Tensor, long: Solution, short: Solution) -> pa.Table:
    columns = {
        "layer": np.full(len(neurons), layer, dtype=np.int16),
        "neuron": neurons.numpy().astype(np.int32),
        **_figures(long, "atoms", ""),
        **_figures(short, "words", "words_"),
    }
    return table_of(columns, tables.schema("pursuits"))


def _figures(found: Solution, count: str, prefix: str) -> dict[str, object]:
    texts = (found.indices >= 0).sum(dim=1)
    values = {
        "residual": found.residuals[:, -1],
        "condition": found.conditions,
        "largest_weight": found.largest,
    }
    figures = {f"{prefix}{name}": value.float().cpu().numpy() for name, value in values.items()}
    largest, conditions = found.largest.tolist(), found.conditions.tolist()
    notes = map(_note, texts.tolist(), largest, conditions)
    return {
        count: texts.cpu().numpy().astype(np.int16),
        **figures,
        f"{prefix}note": pa.array(list(notes), pa.string()),
    }


def _note(texts: int, largest: float, condition: float) -> str | None:
    if largest <= BOUND:
        return None
    return (
        f"ill-conditioned: the longest of {texts} summands is {largest:.3g} times as long as the direction, of which "
        f"{BOUND:g} is too much; condition number {condition:.3g}"
    )
