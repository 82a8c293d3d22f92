"""verdicts: whether the model falls for each picture, between the two classes and among all (Sec. 5.1, Table 3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch.nn import functional

from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.lens.attribution.heatmaps import heatmaps
from clipneuron.lens.options import Split
from clipneuron.models.clip.preprocessing.preprocess import PictureError, Preprocess
from clipneuron.readers.arrow import unchanging
from clipneuron.readers.evidence import Classifier, classifier_of
from clipneuron.readers.lenses import ClipLoader, trace_of
from clipneuron.readers.pictures import Pixels
from clipneuron.store.store import Failure, Run
from clipneuron.tables import registry as tables
from clipneuron.tables.experiments import METHODS, Experiment, Pair, experiments

if TYPE_CHECKING:
    from clipneuron.models.clip.model import Clip


@dataclass(frozen=True, kw_only=True)
class VerdictsStage(Stage):
    """Classifies the pictures of one experiment per shard, and looks where in them the difference comes from."""

    clip: ClipLoader
    preprocess: Preprocess
    """The model's, to decode pictures with before they reach it."""
    pairs: tuple[Pair, ...]
    methods: tuple[str, ...] = METHODS
    repeats: int = 3
    size: int = 100
    """Pictures of an experiment; there may be fewer."""
    batch_size: int = 8
    split: Split = "equal"
    """How the heatmap shares out what belongs to no addend (see `clipneuron.lens.first_order`)."""
    pictures: Upstream
    classifier: Upstream
    """The stage whose classifier decides; both classes of every pair are in it."""
    resources: Resources = Resources(pool="clip")

    kind = "verdicts"
    writes = ("verdicts",)
    unit = "pictures"

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The pictures and the classifier."""
        return (self.pictures, self.classifier)

    def shards(self, run: Run) -> Sequence[Shard]:
        """A shard per experiment."""
        found = experiments(self.pairs, self.methods, self.repeats)
        return [Shard(one.key, self.size, one) for one in found]

    def loader(self, run: Run) -> "PaintedPictures":
        """Reads and decodes pictures."""
        return PaintedPictures(self.pictures.name, self.preprocess, run)

    def share(self, run: Run) -> Classifier:
        """The classifier; raises ValueError where a class of a pair is not in it."""
        classes = classifier_of(run, self.classifier.name)
        missing = {name for pair in self.pairs for name in pair} - {*classes.names}
        if missing:
            raise ValueError(
                f"the classifier of {self.classifier.name} knows no {', '.join(sorted(missing))}: give a list of "
                "classes that names both classes of every pair"
            )
        return classes

    def build(self, shared: Classifier) -> "VerdictsWorker":
        """A worker with the model and the classifier."""
        return VerdictsWorker(self, self.clip(), shared)


@dataclass(frozen=True)
class Decoded:
    """The pictures of an experiment: what became of each, and the pixels of the good ones, in order."""

    experiment: Experiment
    pictures: tuple[str, ...]
    faults: Mapping[str, Failure]
    """By picture, of those without pixels."""
    pixels: tuple[UInt8[np.ndarray, "3 height width"], ...]

    @property
    def good(self) -> list[str]:
        """The pictures with pixels."""
        return [picture for picture in self.pictures if picture not in self.faults]


@dataclass(frozen=True)
class PaintedPictures:
    """Reads an experiment's pictures, decoded as any other picture is."""

    pictures: str
    preprocess: Preprocess
    run: Run

    def load(self, shard: Shard) -> Decoded:
        """The experiment with its pictures."""
        columns = ["picture", "image", "status", "reason"]
        rows = self.run.read(self.pictures, "pictures", shards=[shard.name], columns=columns)
        found = [(row["picture"], self._decoded(row)) for row in rows.to_pylist()]
        return Decoded(
            shard.payload,
            tuple(picture for picture, _ in found),
            {picture: made for picture, made in found if isinstance(made, Failure)},
            tuple(made for _, made in found if not isinstance(made, Failure)),
        )

    def _decoded(self, row: dict[str, Any]) -> NDArray[np.uint8] | Failure:
        picture = row["picture"]
        if row["status"] != "ok":
            return Failure(picture, row["status"], row["reason"])
        try:
            return self.preprocess.decode(row["image"], picture)
        except PictureError as error:
            return Failure(picture, error.status, error.reason)


class VerdictsWorker:
    """Judges one experiment after another."""

    def __init__(self, stage: VerdictsStage, clip: "Clip", classes: Classifier) -> None:
        self.stage, self.clip, self.names = stage, clip, classes.names
        self.matrix = unchanging(classes.matrix).to(clip.device)

    @torch.inference_mode()
    def process(self, loaded: Decoded, advance: Advance) -> Output:
        """The table `verdicts`; pictures that there are not are rows without a verdict."""
        found = {picture: _without(fault) for picture, fault in loaded.faults.items()}
        advance(self.stage.size - len(loaded.pixels))
        for start in range(0, len(loaded.pixels), self.stage.batch_size):
            part = slice(start, start + self.stage.batch_size)
            judged = self._judged(np.stack(loaded.pixels[part]), loaded.experiment.pair)
            found.update(zip(loaded.good[part], judged, strict=True))
            advance(len(judged))
        columns = loaded.experiment.columns
        rows = [{"picture": picture, **columns, **found[picture]} for picture in loaded.pictures]
        table = pa.Table.from_pylist(rows, schema=tables.schema("verdicts"))
        return Output({"verdicts": table}, tuple(loaded.faults.values()))

    def _judged(self, pixels: Pixels, pair: Pair) -> list[dict[str, Any]]:
        trace = trace_of(self.clip, pixels, [], first_order=True)
        c1, c2 = (self.matrix[self.names.index(name)] for name in pair)
        units = functional.normalize(trace.embeddings.to(self.matrix), dim=-1)
        margins, best = units @ (c2 - c1), (units @ self.matrix.T).argmax(1)
        heat = heatmaps(self.clip.weights, trace, c2 - c1, self.stage.split).cpu().numpy()
        return [
            {
                "margin": margin,
                "fooled": margin > 0,
                "prediction": self.names[place],
                "heatmap": row,
                "status": "ok",
            }
            for margin, place, row in zip(margins.tolist(), best.tolist(), heat, strict=True)
        ]


def _without(fault: Failure) -> dict[str, Any]:
    """The columns of a picture that there is not: null but for the reason."""
    return {"status": fault.status, "reason": fault.reason}
