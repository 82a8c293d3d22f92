"""indirect: what changes in the output when a neuron is held at its mean, beside its second-order effect (Table 1).

Two stages: the effects of some neurons on some pictures of D, and their first directions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.lens.directions import principal_directions
from clipneuron.lens.indirect import Halt, indirect_effects
from clipneuron.lens.trace import Trace
from clipneuron.models.clip.interventions import halted, resume
from clipneuron.models.clip.model import Clip
from clipneuron.readers.arrow import list_column, table_of, tensor, unchanging
from clipneuron.readers.evidence import ActivationMeans, activation_means
from clipneuron.readers.feeding import fed
from clipneuron.readers.lenses import ClipLoader, Lenses
from clipneuron.readers.pictures import Batch, PictureFeed
from clipneuron.store.store import Run
from clipneuron.tables import registry as tables

_LEAST = 2
"""Pictures that give a direction: one does not differ from its own mean."""


@dataclass(frozen=True)
class IndirectStage(Stage):
    """Holds some neurons at their means, one at a time, on pictures that are spread evenly over the sweep.

    Each picture and neuron costs a pass through the blocks after the neuron's (`interventions.resume_flops`).
    """

    clip: ClipLoader
    pictures: PictureFeed
    lenses: Lenses
    batch_size: int
    plan: Upstream
    means: Upstream
    neurons: Mapping[int, tuple[int, ...]]
    """The neurons of each layer."""
    images: int
    shard_size: int = 32
    resources: Resources = Resources(pool="clip")

    kind = "indirect"
    writes = ("indirect",)
    unit = "images"

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The pictures of the sweep and the mean activations."""
        return (self.plan, self.means)

    @property
    def identity(self) -> Mapping[str, object]:
        """Which neurons are held, and on how many pictures."""
        neurons = {f"{layer}": chosen for layer, chosen in self.neurons.items()}
        return {"neurons": neurons, "images": self.images}

    def shards(self, run: Run) -> Sequence[Shard]:
        """Few pictures each, since each takes as long as a large batch elsewhere."""
        planned = pa.concat_tables([shard.payload for shard in self.pictures.shards(run, parts=1)])
        count = min(self.images, planned.num_rows)
        chosen = planned.sort_by("index").take(
            np.linspace(0, planned.num_rows - 1, count, dtype=np.int64)
        )
        return [
            Shard(f"{start:06d}", rows.num_rows, rows)
            for start in range(0, count, self.shard_size)
            for rows in [chosen.slice(start, self.shard_size)]
        ]

    def loader(self, run: Run) -> PictureFeed:
        """Reads and decodes pictures."""
        return self.pictures

    def share(self, run: Run) -> ActivationMeans:
        """The mean activations."""
        return activation_means(run, self.means.name)

    def build(self, shared: ActivationMeans) -> "IndirectWorker":
        """A worker with the model and the means."""
        return IndirectWorker(self, self.clip(), shared)


class IndirectWorker:
    """Intervenes on one shard of pictures after another."""

    def __init__(self, stage: IndirectStage, clip: Clip, means: ActivationMeans) -> None:
        # One neuron changes the output by less than half precision resolves.
        self.stage, self.clip = stage, clip.widened()
        self.lenses = stage.lenses.on(self.clip)
        self.means = {layer: unchanging(mean).to(clip.device) for layer, mean in means.items()}

    @torch.inference_mode()
    def process(self, loaded: Batch, advance: Advance) -> Output:
        """The table `indirect`."""
        parts = [tables.schema("indirect").empty_table()]
        few = max(1, self.stage.batch_size // 8)
        for pictures, pixels in fed(loaded, few, self.clip.device):
            images = [picture.index for picture in pictures]
            normalized = self.clip.preprocess.normalize(pixels, self.clip.device, self.clip.dtype)
            trace, halts = halted(self.clip.visual, normalized, [*self.lenses])
            parts += [self._table(images, trace, halt) for halt in halts.values()]
            advance(len(pictures))
        advance(len(loaded.failures))
        return Output({"indirect": pa.concat_tables(parts)}, loaded.failures)

    def _table(self, images: Sequence[int], trace: Trace, halt: Halt) -> pa.Table:
        clip, layer = self.clip, halt.layer
        lens, neurons = self.lenses[layer], self.stage.neurons[layer]
        indirect = indirect_effects(
            halt,
            clip.weights.blocks[layer].neuron_writes,
            self.means[layer],
            partial(resume, clip.visual, layer),
            neurons,
            normalize=self.stage.lenses.normalize,
        )
        second_order = lens.effects(trace, neurons)
        floats = pa.list_(pa.float32())
        columns = {
            "index": pa.array(np.repeat(images, len(neurons)), pa.int64()),
            "layer": pa.array(np.full(len(images) * len(neurons), layer, np.int16)),
            "neuron": pa.array(np.tile(neurons, len(images)), pa.int32()),
            "indirect": list_column(indirect.float().flatten(0, 1), floats),
            "second_order": list_column(second_order.float().flatten(0, 1), floats),
        }
        return table_of(columns, tables.schema("indirect"))


@dataclass(frozen=True)
class SomeNeurons:
    """Neurons of one layer."""

    layer: int
    neurons: tuple[int, ...]


@dataclass(frozen=True)
class IndirectDirectionsStage(Stage):
    """Finds first directions of indirect effects, and of second-order effects on the same pictures."""

    effects: Upstream
    neurons: Mapping[int, tuple[int, ...]]
    top: int
    block: int = 16
    resources: Resources = Resources()

    kind = "indirect-directions"
    writes = ("indirect_directions",)
    unit = "neurons"

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The effects."""
        return (self.effects,)

    @property
    def identity(self) -> Mapping[str, object]:
        """How many of the largest effects give a direction."""
        return {"top": self.top}

    def shards(self, run: Run) -> Sequence[Shard]:
        """A shard per few neurons."""
        blocks = [
            SomeNeurons(layer, chosen[start : start + self.block])
            for layer, chosen in self.neurons.items()
            for start in range(0, len(chosen), self.block)
        ]
        return [
            Shard(f"layer-{some.layer:02d}-neurons-{some.neurons[0]:05d}", len(some.neurons), some)
            for some in blocks
        ]

    def loader(self, run: Run) -> "IndirectLoader":
        """Reads effects."""
        return IndirectLoader(run, self.effects.name)

    def share(self, run: Run) -> None:
        """Nothing; raises ValueError where too few pictures could be used for a direction."""
        commits = run.committed(self.effects.name).values()
        rows = sum(commit.stored("indirect").rows for commit in commits)
        seen = rows // max(1, sum(map(len, self.neurons.values())))
        if seen < _LEAST:
            failures = [failure for commit in commits for failure in commit.failures]
            first = f" (the first: {failures[0].reason})" if failures else ""
            raise ValueError(
                f"{self.effects.name}: a direction takes at least {_LEAST} pictures, and {seen} of "
                f"{seen + len(failures)} could be used{first}: repair them and take others of the collection, by "
                "another `evaluation.indirect_images`"
            )

    def build(self, shared: None) -> "IndirectDirectionsWorker":
        """A worker for blocks of neurons."""
        return IndirectDirectionsWorker(self.top)


@dataclass(frozen=True)
class IndirectLoader:
    """Reads the effects of some neurons on all pictures."""

    run: Run
    effects: str

    def load(
        self, shard: Shard
    ) -> tuple[SomeNeurons, dict[str, Float[Tensor, "neuron image embed"]]]:
        """The neurons, and their effects of both kinds."""
        some: SomeNeurons = shard.payload
        own = [("layer", "==", some.layer), ("neuron", "in", some.neurons)]
        rows = self.run.read(self.effects, "indirect", filters=own)
        rows = rows.sort_by([("neuron", "ascending"), ("index", "ascending")])
        shape = len(some.neurons), rows.num_rows // len(some.neurons), -1
        kinds = ("indirect", "second_order")
        return some, {kind: tensor(rows[kind]).reshape(shape) for kind in kinds}


class IndirectDirectionsWorker:
    """Solves one block after another."""

    def __init__(self, top: int) -> None:
        self.top = top

    @torch.inference_mode()
    def process(self, loaded: tuple[SomeNeurons, dict[str, Tensor]], advance: Advance) -> Output:
        """The table `indirect_directions`."""
        some, effects = loaded
        everything = effects["indirect"].shape[1]
        mean, found = principal_directions(effects["indirect"], self.top)
        others = {
            "explained_variance_all": principal_directions(effects["indirect"], everything),
            "second_order_variance": principal_directions(effects["second_order"], self.top),
            "second_order_variance_all": principal_directions(effects["second_order"], everything),
        }
        floats = pa.list_(pa.float32())
        columns = {
            "layer": pa.array(np.full(len(some.neurons), some.layer, np.int16)),
            "neuron": pa.array(some.neurons, pa.int32()),
            "count": pa.array([everything] * len(some.neurons), pa.int64()),
            "direction": list_column(found.vectors, floats),
            "mean": list_column(mean, floats),
            "explained_variance": found.explained_variance.float().numpy(),
        }
        for name, (_, other) in others.items():
            columns[name] = other.explained_variance.float().numpy()
        advance(len(some.neurons))
        return Output(
            {"indirect_directions": table_of(columns, tables.schema("indirect_directions"))}
        )
