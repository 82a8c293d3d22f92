"""What the stages have in common that make maps: where a picture's own class is, by every attribution method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa
import torch
from torch import Tensor

from clipneuron.atlas.shades import encoded
from clipneuron.engine.stage import Advance, Output, Resources, Stage, Upstream
from clipneuron.readers.evidence import classifier_of
from clipneuron.readers.lenses import ClipLoader
from clipneuron.readers.pictures import Pixels
from clipneuron.readers.segmentation import directions_of, neurons_of
from clipneuron.segmentation.maps import Known, Maps, choices_of
from clipneuron.store.store import Failure, Run
from clipneuron.tables import registry as tables


class Wanted(NamedTuple):
    """Pictures as the model sees them, with their names in the site."""

    keys: tuple[str, ...]
    pixels: Pixels
    failures: tuple[Failure, ...]


@dataclass(frozen=True, kw_only=True)
class MappingStage(Stage):
    """What the stages have in common that say where classes are, of pictures of one kind or another."""

    clip: ClipLoader
    methods: tuple[str, ...]
    batch_size: int
    classifier: str
    """The stage with the classes; another line of work has committed it."""
    directions: Upstream
    layers: tuple[int, ...]
    """That the neurons of classes are chosen from."""
    count: int
    """Neurons of a class."""
    seed: int
    most: int
    """Pictures, at most."""
    resources: Resources = Resources(pool="clip")

    writes = ("class_maps",)
    unit = "images"

    @property
    def identity(self) -> Mapping[str, object]:
        """The methods, the classes, and how their neurons are chosen."""
        neurons = {"layers": self.layers, "count": self.count, "seed": self.seed}
        return {"methods": self.methods, "classifier": self.classifier, **neurons}

    def share(self, run: Run) -> Known:
        """The classes' texts and their neurons."""
        classes = classifier_of(run, self.classifier)
        choices = choices_of(self.methods)
        layers = self.layers if choices else ()
        found = directions_of(run, self.directions.name, layers)
        return Known(classes, neurons_of(classes, found, choices, self.count, self.seed))

    def build(self, shared: Known) -> "ClassMapsWorker":
        """A worker with the model."""
        return ClassMapsWorker(Maps(self.clip(), shared, self.methods, self.batch_size))


@dataclass(frozen=True)
class ClassMapsWorker:
    """Makes the maps of one shard after another."""

    maps: Maps

    def process(self, loaded: Wanted, advance: Advance) -> Output:
        """The table `class_maps`: picture after picture, method after method."""
        schema, size = tables.schema("class_maps"), self.maps.batch_size
        parts = [schema.empty_table()]
        for first in range(0, len(loaded.keys), size):
            keys = loaded.keys[first : first + size]
            parts.append(self._table(keys, loaded.pixels[first : first + size], schema))
            advance(len(keys))
        advance(len(loaded.failures))
        return Output({"class_maps": pa.concat_tables(parts)}, loaded.failures)

    def _table(self, keys: Sequence[str], pixels: Pixels, schema: pa.Schema) -> pa.Table:
        labels = self.maps.predicted(pixels)
        found = self.maps.of(pixels, torch.arange(len(keys)), labels)
        classes = [self.maps.known.classes.names[label] for label in labels.tolist()]
        rows = [
            {"key": key, "class": name, "method": method, "rows": self.maps.grid[0]}
            | _scaled(found[method][place])
            for place, (key, name) in enumerate(zip(keys, classes, strict=True))
            for method in self.maps.methods
        ]
        return pa.Table.from_pylist(rows, schema=schema)


def _scaled(values: Tensor) -> dict[str, object]:
    """The columns of a map that say how it is from its least value to its greatest."""
    own = values.double().numpy()
    least, greatest = own.min(), own.max()
    shares = (own - least) / ((greatest - least) or 1.0)
    return {"scale": float(greatest - least), "map": encoded(shares).tobytes()}
