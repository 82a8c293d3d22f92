"""The report's sheets: pictures on which a method is best or worst, and those on which methods disagree most."""

from collections.abc import Sequence

import pyarrow as pa
import torch

from clipneuron.config.values.protocols import Protocol
from clipneuron.engine.stage import Shard
from clipneuron.readers.evidence import classifier_of
from clipneuron.readers.segmentation import weights_of
from clipneuron.readers.sweep import Planned
from clipneuron.segmentation.drawing import Drawn, sheet
from clipneuron.segmentation.figures import Figures, Shown
from clipneuron.segmentation.maps import Known, Maps
from clipneuron.segmentation.pipeline import SegmentationLine
from clipneuron.store.store import Run

SHOWN = 5
"""Pictures on a sheet."""


def sheets(line: SegmentationLine, run: Run, figures: Figures) -> dict[str, bytes]:
    """The sheets by file name, as PNG."""
    first = "second-order" if "second-order" in figures.methods else figures.methods[0]
    chosen = {
        "best.png": (f"where {first} is best", figures.best(first, SHOWN)),
        "worst.png": (f"where {first} is worst", figures.worst(first, SHOWN)),
        "disagreement.png": ("where methods disagree most", figures.disagreed(SHOWN)),
    }
    name = line.sweep.clip.name
    return {
        file: sheet(_drawn(line, run, shown), f"{name}: {title}", figures.methods)
        for file, (title, shown) in chosen.items()
    }


def _drawn(line: SegmentationLine, run: Run, shown: Sequence[Shown]) -> list[Drawn]:
    """The pictures with their masks and maps, computed anew: maps are not kept."""
    stages = line.stages(Planned.of(run))
    feed, stage = stages.segmentations.pictures, stages.segmentations
    known = Known(classifier_of(run, stages.classifier.name), weights_of(run, stages.neurons.name))
    maps = Maps(line.sweep.clip, known, stage.methods, stage.batch_size)
    listing = line.collection.listing
    rows = listing.take(pa.array([each.index for each in shown], pa.int64()))
    loaded = feed.load(Shard("shown", len(shown), rows))
    places = {picture.image: place for place, picture in enumerate(loaded.pictures.good)}
    seen = [each for each in shown if each.image in places]
    pictures = torch.tensor([places[each.image] for each in seen])
    labels = torch.tensor([feed.numbers[each.name] for each in seen])
    found = maps.of(loaded.pictures.pixels, pictures, labels)
    alignment = Protocol.named(stage.protocols[0]).alignment
    fronts = {
        (pair.place, pair.name): loaded.framed[alignment].fronts[number]
        for number, pair in enumerate(loaded.pairs)
    }
    return [
        Drawn(
            each.image,
            each.name,
            each.said,
            loaded.pictures.pixels[places[each.image]],
            {name: own[number].reshape(maps.grid).numpy() for name, own in found.items()},
            fronts.get((places[each.image], each.name)),
        )
        for number, each in enumerate(seen)
    ]
