"""segmentations: one pass over the pictures that have masks; every method's maps, judged under every protocol."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Int
from torch import Tensor

from clipneuron.config.values.protocols import Protocol, Text
from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.readers.arrow import table_of
from clipneuron.readers.evidence import classifier_of
from clipneuron.readers.lenses import ClipLoader
from clipneuron.readers.masks import MaskedBatch, MaskedFeed, Pair
from clipneuron.readers.segmentation import weights_of
from clipneuron.segmentation.judging import Judged, Places, judged
from clipneuron.segmentation.maps import Known, Maps
from clipneuron.store.store import Run
from clipneuron.tables import registry as tables

if TYPE_CHECKING:
    from clipneuron.models.clip.model import Clip

COUNTS = ("tp", "fp", "fn", "tn")
SCORES = ("ap", "ap_sides", "f1", "cut")


@dataclass(frozen=True, kw_only=True)
class SegmentationsStage(Stage):
    """Makes maps for the texts that the protocols ask for, each once, and counts their pixels."""

    clip: ClipLoader
    pictures: MaskedFeed
    masks: str
    """A digest of the masks."""
    methods: tuple[str, ...]
    protocols: tuple[str, ...]
    batch_size: int
    plan: Upstream
    classifier: Upstream
    neurons: Upstream
    resources: Resources = Resources(pool="clip")

    kind = "segmentations"
    writes = ("segmentations",)
    unit = "images"

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The pictures, the classes' texts and their neurons."""
        return (self.plan, self.classifier, self.neurons)

    @property
    def identity(self) -> Mapping[str, object]:
        """The masks, the methods and the protocols."""
        return {"masks": self.masks, "methods": self.methods, "protocols": self.protocols}

    def shards(self, run: Run) -> Sequence[Shard]:
        """The shards of the pictures that have masks."""
        return self.pictures.shards(run)

    def loader(self, run: Run) -> MaskedFeed:
        """Reads and decodes pictures and masks."""
        return self.pictures

    def share(self, run: Run) -> Known:
        """The classes' texts and their neurons."""
        return Known(classifier_of(run, self.classifier.name), weights_of(run, self.neurons.name))

    def build(self, shared: Known) -> "SegmentationsWorker":
        """A worker with the model."""
        return SegmentationsWorker(self, self.clip(), shared)


@dataclass(frozen=True)
class Wanted:
    """The maps that some pairs are judged by: each picture and class once."""

    pictures: Int[Tensor, "map"]
    labels: Int[Tensor, "map"]
    places: Mapping[Text, Int[Tensor, "pair"]]
    """For each kind of text, the map of every pair."""

    @classmethod
    def of(cls, pairs: Sequence[Pair], texts: Mapping[Text, Sequence[int]]) -> "Wanted":
        """The maps of the pairs for texts by their numbers."""
        numbers: dict[tuple[int, int], int] = {}
        places = {
            text: torch.tensor(
                [
                    numbers.setdefault((pair.place, label), len(numbers))
                    for pair, label in zip(pairs, labels, strict=True)
                ]
            )
            for text, labels in texts.items()
        }
        pictures, labels = (torch.tensor([key[side] for key in numbers]) for side in (0, 1))
        return cls(pictures, labels, places)


@dataclass
class SegmentationsWorker:
    """Judges the maps of one shard after another."""

    stage: SegmentationsStage
    clip: "Clip"
    known: Known
    protocols: tuple[Protocol, ...] = field(init=False)
    maps: Maps = field(init=False)

    def __post_init__(self) -> None:
        self.protocols = tuple(map(Protocol.named, self.stage.protocols))
        self.maps = Maps(self.clip, self.known, self.stage.methods, self.stage.batch_size)

    def process(self, loaded: MaskedBatch, advance: Advance) -> Output:
        """The table `segmentations`."""
        parts, size = [], self.stage.batch_size
        for first in range(0, len(loaded.pictures.good), size):
            own = [
                (number, pair)
                for number, pair in enumerate(loaded.pairs)
                if first <= pair.place < first + size
            ]
            parts.append(self._judged(loaded, [n for n, _ in own], [pair for _, pair in own]))
            advance(len(loaded.pictures.good[first : first + size]))
        advance(len(loaded.pictures.failures))
        table = pa.concat_tables([*parts, _failed(loaded)])
        return Output({"segmentations": table}, loaded.pictures.failures)

    def _judged(self, loaded: MaskedBatch, rows: list[int], pairs: list[Pair]) -> pa.Table:
        """The rows of some pairs, which are at these places among all of the shard."""
        texts = self._texts(loaded, pairs)
        wanted = Wanted.of(pairs, texts)
        found = self.maps.of(loaded.pictures.pixels, wanted.pictures, wanted.labels)
        stacked = torch.stack([found[method] for method in self.stage.methods])
        pictures = torch.tensor([pair.place for pair in pairs])
        places = Places(torch.tensor(rows), pictures, wanted.places)
        counted = judged(stacked, self.maps.grid, places, loaded.framed, self.protocols)
        return self._table(loaded, pairs, texts, counted)

    def _texts(self, loaded: MaskedBatch, pairs: Sequence[Pair]) -> dict[Text, list[int]]:
        """By kind, the number of the text of each pair's map."""
        kinds = dict.fromkeys(protocol.text for protocol in self.protocols)
        found: dict[Text, list[int]] = {}
        if "given" in kinds:
            found["given"] = [pair.label for pair in pairs]
        if "predicted" in kinds:
            places = sorted({pair.place for pair in pairs})
            labels = self.maps.predicted(loaded.pictures.pixels[places]).tolist()
            of = dict(zip(places, labels, strict=True))
            found["predicted"] = [of[pair.place] for pair in pairs]
        if "wrong" in kinds:
            names = self.known.classes.names
            images = [loaded.pictures.good[pair.place].image for pair in pairs]
            found["wrong"] = [
                other_class(image, pair.label, loaded.present[pair.place], len(names))
                for image, pair in zip(images, pairs, strict=True)
            ]
        return found

    def _table(
        self,
        loaded: MaskedBatch,
        pairs: Sequence[Pair],
        texts: Mapping[Text, Sequence[int]],
        counted: Sequence[Judged],
    ) -> pa.Table:
        """Pair after pair, protocol after protocol, method after method."""
        methods, names = self.stage.methods, self.known.classes.names
        shape = len(pairs), len(self.protocols), len(methods)
        pictures = [loaded.pictures.good[pair.place] for pair in pairs]
        notes = [loaded.pictures.notes.get(picture.image) for picture in pictures]
        own = [
            [names[texts[each.text][row]] for each in self.protocols] for row in range(len(pairs))
        ]
        columns: dict[str, object] = {
            "index": _spread([picture.index for picture in pictures], pa.int64(), shape, 0),
            "image": _spread([picture.image for picture in pictures], pa.string(), shape, 0),
            "status": pa.array(["ok"] * int(np.prod(shape)), pa.string()),
            "reason": pa.nulls(int(np.prod(shape)), pa.string()),
            "note": _spread(notes, pa.string(), shape, 0),
            "class": _spread([pair.name for pair in pairs], pa.string(), shape, 0),
            "text": pa.array([name for row in own for name in row], pa.string()).take(
                pa.array(np.repeat(np.arange(shape[0] * shape[1]), shape[2]))
            ),
            "protocol": _spread(list(self.stage.protocols), pa.string(), shape, 1),
            "method": _spread(list(methods), pa.string(), shape, 2),
        }
        for name in (*COUNTS, *SCORES):
            values = torch.stack([getattr(each, name) for each in counted])
            columns[name] = values.permute(2, 0, 1).reshape(-1).numpy()
        return table_of(columns, tables.schema("segmentations"))


def other_class(image: str, label: int, present: frozenset[int], classes: int) -> int:
    """The number of a class that the picture does not show, where there is one, by the digest of its id and the class.

    Any class but its own where the picture shows all of them.
    """
    others = [n for n in range(classes) if n not in present] or [
        n for n in range(classes) if n != label
    ]
    digest = hashlib.sha256(f"{image}\n{label}".encode()).digest()
    return others[int.from_bytes(digest[:8]) % len(others)]


def _spread(
    values: Sequence[object], kind: pa.DataType, shape: tuple[int, int, int], axis: int
) -> pa.Array:
    """Values along one axis, for rows in the order of all axes."""
    places = np.arange(shape[axis]).reshape([-1 if each == axis else 1 for each in range(3)])
    taken = pa.array(np.broadcast_to(places, shape).ravel())
    return pa.array(values, kind).take(taken)


def _failed(loaded: MaskedBatch) -> pa.Table:
    """A row for each picture that cannot be used."""
    rows = pa.table(loaded.pictures.rows())
    failed = rows.filter(pa.compute.is_valid(rows["reason"]))
    schema = tables.schema("segmentations")
    missing = {
        name: pa.nulls(failed.num_rows, schema.field(name).type)
        for name in schema.names
        if name not in failed.column_names
    }
    return table_of({**{name: failed[name] for name in failed.column_names}, **missing}, schema)
