"""A recipe carried out: everything it names at hand, its stages, its run in a store, and its report."""

import hashlib
import json
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from rich.console import Console

from clipneuron.atlas.summary import Findings
from clipneuron.demo import pool as demo_pool
from clipneuron.demo.batches import truth_table
from clipneuron.demo.collection import read_collection, write_collection
from clipneuron.engine.runner import InProcessRunner, StageReport
from clipneuron.models.clip import Clip, load_clip
from clipneuron.recipes import Recipe
from clipneuron.sources import Lenses, PictureFeed
from clipneuron.stage import Stage
from clipneuron.stages.calibrate import CalibrateStage
from clipneuron.stages.descriptions import DescriptionsStage
from clipneuron.stages.directions import DirectionsStage
from clipneuron.stages.effects import EffectsStage
from clipneuron.stages.explanations import ExplanationsStage
from clipneuron.stages.plan import PlanStage
from clipneuron.stages.texts import TextsStage
from clipneuron.storage.errors import StoreError
from clipneuron.storage.images import Collection, open_collection
from clipneuron.storage.store import Failure, Run, Store
from clipneuron.storage.texts import Pool, open_pool, pool_of
from clipneuron.version import NUMERICS, __version__

DEMO_PICTURES = 2000


@dataclass(frozen=True)
class Sweep:
    """A recipe with everything it names at hand."""

    recipe: Recipe
    folder: Path
    clip: Clip
    collection: Collection
    pool: Pool

    @classmethod
    def of(cls, recipe: Recipe, folder: Path, clip: Clip | None = None) -> "Sweep":
        """Resolve a recipe; `folder` is where the demo world's pictures are rendered to.

        Raises ValueError for whatever does not exist or does not fit, before any long work.
        """
        clip = clip or _load(recipe)
        for layer in recipe.layers:
            clip.weights.check_layer(layer)
        collection = _thinned(_collection(recipe, folder), recipe.every, recipe.limit)
        if len(collection) < 2:
            raise ValueError(
                "a neuron's direction takes at least 2 pictures, and only one is left of "
                f"{recipe.images}; look at --images, --every and --limit"
            )
        pool = pool_of("demo", demo_pool()) if recipe.pool == "demo" else open_pool(recipe.pool)
        return cls(recipe, folder, clip, collection, pool)

    @cached_property
    def layers(self) -> tuple[int, ...]:
        """The layers of the run, in rising order."""
        return tuple(sorted(set(self.recipe.layers))) or tuple(range(self.clip.layers - 1))

    @cached_property
    def identity(self) -> dict[str, object]:
        """Everything that changes the numbers of the sweep; descriptions are set apart by their label."""
        recipe = self.recipe
        return {
            "model": self.clip.digest,
            "preprocess": repr(self.clip.preprocess),
            "images": self.collection.digest,
            "layers": list(self.layers),
            "split": recipe.split,
            "normalize": recipe.normalize,
            "top": recipe.top,
            "dtype": recipe.dtype,
            "shard_size": recipe.shard_size,
            "block": recipe.block,
            "numerics": NUMERICS,
        }

    @cached_property
    def label(self) -> str:
        """What sets the descriptions apart from others of the same sweep."""
        recipe = self.recipe
        exact = f"{self.pool.digest} {recipe.preparation} {recipe.atoms}"
        digest = hashlib.sha256(exact.encode()).hexdigest()[:8]
        return f"{self.pool.name}-{recipe.preparation}-{recipe.atoms}-{digest}"

    @property
    def descriptions(self) -> str:
        """The key of the descriptions' commits."""
        return f"descriptions-{self.label}"

    def open(self, store: Store) -> Run:
        """The run in the store: new, or the one that was begun before."""
        details = {"recipe": self.recipe.model_dump(mode="json"), "clipneuron": __version__}
        return store.open_run(self.recipe.name, self.identity, details)

    def run(
        self, store: Store, *, max_failed_share: float = 0.1, console: Console | None = None
    ) -> tuple[Run, list[StageReport]]:
        """Bring every stage to completion; what is committed already is not done again.

        Raises `clipneuron.engine.runner.RunIncompleteError`, and StoreError from the store.
        """
        run = self.open(store)
        runner = InProcessRunner(max_failed_share=max_failed_share, console=console)
        return run, runner.run(self.stages(), run)

    def stages(self) -> list[Stage]:
        """The stages of the run, in the order in which they read each other."""
        recipe, clip = self.recipe, partial(_same, self.clip)
        pictures = PictureFeed(self.collection.reader, self.clip.preprocess)
        lenses = Lenses(self.layers, recipe.split, recipe.normalize)
        texts = TextsStage(clip, self.pool)
        stages: list[Stage] = [
            PlanStage(self.collection, recipe.shard_size),
            texts,  # early: a model without a text tower should not cost two passes over the pictures
            CalibrateStage(clip, pictures, lenses, recipe.batch_size),
            EffectsStage(clip, pictures, lenses, recipe.batch_size, recipe.top),
            DirectionsStage(clip, lenses, self.clip.neurons, recipe.block),
            DescriptionsStage(
                texts.name,
                self.label,
                self.layers,
                neurons=self.clip.neurons,
                block=recipe.block,
                atoms=recipe.atoms,
                preparation=recipe.preparation,
                device=str(self.clip.device),
            ),
        ]
        return stages + ([self._explanations()] if self._knows_contents else [])

    def describe(self) -> str:
        """What is about to run, in a few lines."""
        clip, recipe = self.clip, self.recipe
        passed_over = ", ".join(
            f"{count} {why}" for why, count in self.collection.skipped.items() if count
        )
        dropped = ", ".join(f"{count} {why}" for why, count in self.pool.dropped.items() if count)
        layers = ", ".join(map(str, self.layers))
        few = len(self.collection) <= recipe.top
        warning = f"note      top {recipe.top} of {len(self.collection)} pictures: all of them count as significant"
        return "\n".join(
            [
                f"model     {clip.name}: {clip.layers} layers of {clip.neurons:,} neurons, on {clip.device}",
                f"pictures  {len(self.collection):,}"
                + (f" (passed over: {passed_over})" if passed_over else ""),
                f"texts     {len(self.pool):,} of {self.pool.name}"
                + (f" (dropped: {dropped})" if dropped else ""),
                f"layers    {layers}; split {recipe.split}, {'' if recipe.normalize else 'not '}normalised",
                *([warning] if few else []),
            ]
        )

    def unusable(self, run: Run, shown: int) -> list[Failure]:
        """The first pictures that could not be used, with their reasons."""
        commits = run.committed("effects").values()
        return list(islice((failure for commit in commits for failure in commit.failures), shown))

    def findings(self, run: Run, per_layer: int) -> Findings:
        """What the finished run says."""
        explanations = self._explanations().name if self._knows_contents else None
        return Findings.of(run, self.layers, self.descriptions, explanations, per_layer)

    def write_report(self, run: Run, findings: Findings) -> dict[str, str]:
        """Store the findings as JSON and as a contact sheet; where they are, by name."""
        listing = self.collection.pictures
        title = f"{self.clip.name}, {len(self.collection):,} pictures, texts: {self.pool.name}"
        sheet = findings.sheet(lambda index: self.collection.read(listing[index]), title)
        data = json.dumps(findings.as_json(), indent=1, allow_nan=False).encode()
        return {
            "contact sheet": run.put_file(f"{self.label}/contact-sheet.png", sheet),
            "findings": run.put_file(f"{self.label}/findings.json", data),
            "tables": run.url,
        }

    @property
    def _knows_contents(self) -> bool:
        return self.recipe.images == "demo"

    def _explanations(self) -> Stage:
        names = tuple(picture.image for picture in self.collection.pictures)
        return ExplanationsStage(
            partial(scene_truth, _scenes_folder(self.recipe, self.folder), names),
            self.descriptions,
            self.label,
            self.layers,
            self.clip.neurons,
            self.recipe.words,
        )


def scene_truth(folder: Path, images: Sequence[str], texts: Sequence[str]) -> NDArray[np.bool_]:
    """Which texts are true of which rendered pictures, [text, image]."""
    scenes = {record.image: record.scene for record in read_collection(folder)}
    return truth_table([scenes[image] for image in images], list(texts)).T


def _same(clip: Clip) -> Clip:
    return clip


def _load(recipe: Recipe) -> Clip:
    device = None if recipe.device == "auto" else _device(recipe.device)
    return load_clip(
        recipe.model, recipe.pretrained, device=device, dtype=getattr(torch, recipe.dtype)
    )


def _device(name: str) -> torch.device:
    """The device of this name; ValueError when there is no such device here."""
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (number and not number.isdigit()):
        raise ValueError(f"there is no device {name!r}: expected auto, cpu, cuda, cuda:1 or mps")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise ValueError(f"{name} is not here, torch finds {found} GPUs: use --device auto or cpu")
    return torch.device(name)


def _scenes_folder(recipe: Recipe, folder: Path) -> Path:
    return folder / "pictures" / f"demo-{recipe.seed}-{recipe.limit or DEMO_PICTURES}"


def _collection(recipe: Recipe, folder: Path) -> Collection:
    """The recipe's pictures; those of the demo world are rendered on first use."""
    if recipe.images != "demo":
        return open_collection(recipe.images)
    scenes = _scenes_folder(recipe, folder)
    if not scenes.exists():
        _render(scenes, recipe)
    return open_collection(scenes)


def _render(scenes: Path, recipe: Recipe) -> None:
    """Render beside the place and move there: whoever finds the folder finds it complete."""
    with tempfile.TemporaryDirectory(dir=_made(scenes.parent), prefix=".rendering-") as rendering:
        write_collection(
            Path(rendering) / "scenes", recipe.limit or DEMO_PICTURES, recipe.seed, biased=True
        )
        with suppress(OSError):  # another process was faster, with the same pictures
            (Path(rendering) / "scenes").rename(scenes)


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"the folder {folder} cannot be made ({error.strerror}): choose another --store"
        raise StoreError(message) from error
    return folder


def _thinned(collection: Collection, every: int, limit: int) -> Collection:
    """Every n-th picture, at most `limit` of them, numbered anew."""
    kept = range(0, len(collection), every)
    kept = kept[:limit] if limit else kept
    if len(kept) == len(collection):
        return collection
    listing = collection.listing.take(pa.array(kept, pa.int64()))
    numbers = pa.array(range(len(kept)), pa.int64())
    listing = listing.set_column(listing.schema.get_field_index("index"), "index", numbers)
    exact = f"{collection.digest} {len(kept)} pictures, every {every if len(kept) > 1 else 1}"
    return replace(collection, listing=listing, digest=hashlib.sha256(exact.encode()).hexdigest())
