"""The rows of many tables that a block of neurons is in, neuron by neuron."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clipneuron.atlas.cards import Source
from clipneuron.atlas.gather.neurons import NeuronRows, Rows
from clipneuron.atlas.gather.sources import Sources
from clipneuron.readers.sweep import NeuronBlock
from clipneuron.store.records import Commit
from clipneuron.store.run import Run
from clipneuron.tables import registry

TOP = 12
"""Top pictures of a neuron in a run without an atlas of its own."""

_LONG = ("mean",)
"""Columns of the table `directions` that no page shows."""


@dataclass
class BlockReader:
    """Reads block after block; what is stored by pictures is kept for a layer's other blocks."""

    run: Run
    sources: Sources
    _heats: tuple[int, pa.Table] | None = None
    _commits: dict[str, dict[str, Commit]] = field(default_factory=dict)

    def rows(self, block: NeuronBlock) -> list[NeuronRows]:
        """What the tables say of each neuron of the block; raises StoreError."""
        directions = {row["neuron"]: row for row in self._directions(block)}
        words = {
            stage: _by_neuron(self._read(stage, "neuron_words", block), "place")
            for stage in self._describers
        }
        pursuits = {
            pool.descriptions: _by_neuron(self._read(pool.descriptions, "pursuits", block))
            for pool in self.sources.pools
        }
        scores = {
            pool.scores: _by_neuron(self._read(pool.scores, "scores", block))
            for pool in self.sources.pools
            if pool.scores
        }
        shown = self._shown(block, directions)
        heats = _by_neuron(self._heats_of(block)) if self.sources.heats else {}
        profiles = _by_neuron(self._read(self.sources.profiles, "neuron_profiles", block))
        near = _by_neuron(self._read(self.sources.neighbours, "near_neurons", block), "place")
        indirect = _by_neuron(self._indirect(block)) if self.sources.indirect else {}
        return [
            NeuronRows(
                direction=own,
                words={stage: found.get(neuron, ()) for stage, found in words.items()},
                pursuits={
                    stage: found[neuron][0] for stage, found in pursuits.items() if neuron in found
                },
                scores={
                    stage: {row["describer"]: row for row in found.get(neuron, ())}
                    for stage, found in scores.items()
                },
                shown=shown.get(neuron, ()),
                heats={row["index"]: row for row in heats.get(neuron, ())},
                profile=next(iter(profiles.get(neuron, ())), None),
                near=near.get(neuron, ()),
                indirect=indirect.get(neuron, ()),
                sources=tuple(self._sources_of(block.layer, neuron)),
            )
            for neuron, own in directions.items()
        ]

    @property
    def _describers(self) -> list[str]:
        """The stages with words."""
        stages = [
            stage
            for pool in self.sources.pools
            for stage in (pool.descriptions, *pool.others.values())
        ]
        return [*dict.fromkeys(stages)]

    def _read(self, stage: str, table: str, block: NeuronBlock) -> pa.Table:
        """The block's rows; of a stage whose shards are named after blocks, only from those that may have them.

        Of a stage that there is not (of a run that has no atlas itself), none.
        """
        if not stage:
            return registry.schema(table).empty_table()
        return self.run.read(stage, table, shards=self._shards(stage, block), filters=block.filters)

    def _shards(self, stage: str, block: NeuronBlock) -> list[str] | None:
        """The shards of the block's layer, as far as their names tell; None for all."""
        layer = f"layer-{block.layer:02d}"
        named = [name for name in self._committed(stage) if _layer_of(name) == layer]
        return named or None

    def _committed(self, stage: str) -> Mapping[str, Commit]:
        if stage not in self._commits:
            self._commits[stage] = self.run.committed(stage)
        return self._commits[stage]

    def _directions(self, block: NeuronBlock) -> Rows:
        rows = self._read(self.sources.directions, "directions", block)
        kept = [name for name in rows.column_names if name not in _LONG]
        found: Rows = rows.select(kept).sort_by("neuron").to_pylist()
        return found

    def _shown(
        self, block: NeuronBlock, directions: Mapping[int, Mapping[str, Any]]
    ) -> Mapping[int, Rows]:
        """The pictures of each neuron's page; of a run that has no atlas itself, some of its top pictures."""
        if self.sources.shown:
            return _by_neuron(self._read(self.sources.shown, "shown_pictures", block), "place")
        return {
            neuron: [
                {"index": index, "norm": norm, "quantile": None}
                for index, norm in zip(own["top_images"][:TOP], own["top_norms"], strict=False)
                if index >= 0
            ]
            for neuron, own in directions.items()
        }

    def _heats_of(self, block: NeuronBlock) -> pa.Table:
        if self._heats is None or self._heats[0] != block.layer:
            own = [("layer", "==", block.layer)]
            rows = self.run.read(self.sources.heats, "heats", filters=own)
            self._heats = block.layer, rows.sort_by("neuron")
        rows = self._heats[1]
        numbers = rows["neuron"].to_numpy()
        first, last = np.searchsorted(numbers, (block.first, block.first + block.size))
        return rows.slice(int(first), int(last - first))

    def _indirect(self, block: NeuronBlock) -> pa.Table:
        """Lengths of the effects on the pictures that both are known of."""
        rows = self._read(self.sources.indirect, "indirect", block)
        columns = {name: rows[name] for name in ("index", "layer", "neuron")}
        for name in ("indirect", "second_order"):
            columns[name] = _lengths(rows[name].combine_chunks())
        return pa.table(columns)

    def _sources_of(self, layer: int, neuron: int) -> Iterator[Source]:
        """The objects that the neuron's rows are in, of the tables that are stored by neurons."""
        tables: dict[str, tuple[str, ...]] = {self.sources.directions: ("directions",)}
        for pool in self.sources.pools:
            tables[pool.descriptions] = ("neuron_words", "pursuits", "descriptions")
            if pool.scores:
                tables[pool.scores] = ("scores",)
        for stage, name in (
            (self.sources.profiles, "neuron_profiles"),
            (self.sources.neighbours, "near_neurons"),
        ):
            tables |= {stage: (name,)} if stage else {}
        for stage, names in tables.items():
            if shard := _shard_of(self._committed(stage), layer, neuron):
                for item in self._committed(stage)[shard].objects:
                    if item.table in names:
                        yield Source(item.table, item.key, item.sha256)


def _lengths(vectors: pa.ListArray) -> NDArray[np.float32]:
    """Of each vector; none of none, whose number of coordinates is not known."""
    if not len(vectors):
        return np.zeros(0, np.float32)
    flat = vectors.flatten().to_numpy().reshape(len(vectors), -1)
    found: NDArray[np.float32] = np.linalg.norm(flat, axis=1)
    return found


def _layer_of(shard: str) -> str:
    return "-".join(shard.split("-")[:2])


def _shard_of(shards: Mapping[str, Any], layer: int, neuron: int) -> str:
    """The shard that a neuron is in, by their names: that of its layer, or the last that begins before it."""
    own = [name for name in shards if _layer_of(name) == f"layer-{layer:02d}"]
    begun = [name for name in own if _first_of(name) <= neuron]
    return max(begun, key=_first_of, default="")


def _first_of(shard: str) -> int:
    """The first neuron of a block's shard; 0 for a whole layer's."""
    _, marker, first = shard.partition("-neurons-")
    return int(first.partition("-")[0]) if marker else 0


def _by_neuron(rows: pa.Table, order: str = "") -> dict[int, Rows]:
    """The rows of each neuron, sorted by a column where one is named."""
    by = [("neuron", "ascending"), *([(order, "ascending")] if order else [])]
    found: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows.sort_by(by).to_pylist():
        found.setdefault(row["neuron"], []).append(row)
    return dict(found)
