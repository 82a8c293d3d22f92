"""Maps of single pictures, drawn: a picture per method, and one sheet with all methods side by side."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from clipneuron.config.recipe import Recipe
from clipneuron.config.segmentation import Segmentation
from clipneuron.lens.attribution.methods import METHODS
from clipneuron.models.clip.model import Clip
from clipneuron.models.clip.preprocessing.preprocess import PictureError
from clipneuron.readers.evidence import Classifier
from clipneuron.readers.lenses import moved
from clipneuron.readers.segmentation import directions_of, neurons_of
from clipneuron.reports.drawing import png
from clipneuron.segmentation.drawing import Drawn, Pixels, overlay, sheet
from clipneuron.segmentation.given import GivenPicture, directions_stage
from clipneuron.segmentation.layers import chosen_layers
from clipneuron.segmentation.maps import Known, Maps, choices_of
from clipneuron.store.store import Run
from clipneuron.sweep.inputs import model_of, templates_in


@dataclass(frozen=True)
class Drawings:
    """Maps of pictures for classes, ready to be drawn."""

    rows: tuple[Drawn, ...]
    methods: tuple[str, ...]
    title: str
    notes: tuple[str, ...]
    troubles: tuple[str, ...]
    """Of each picture that cannot be used, why."""


def drawn(
    run: Run,
    recipe: Recipe,
    pictures: Sequence[GivenPicture],
    classes: Sequence[str],
    clip: Clip | None = None,
) -> Drawings:
    """The maps of all pictures for all classes, with the run's model and directions.

    Raises ValueError for a model that is not the run's, and for layers that it has not swept.
    """
    clip = clip or model_of(recipe)
    if clip.digest != run.identity["model"]:
        raise ValueError(
            f"run {run.name} is of another model than {clip.name}, or its weights have changed since: directions mean "
            "nothing without their own model"
        )
    asked, names = recipe.segmentation, tuple(dict.fromkeys(classes))
    methods, notes = _possible(asked, names)
    known = known_of(run, recipe, clip, names, methods)
    maps = Maps(moved(clip, recipe.device), known, methods, recipe.batch_size)
    read, troubles = _decoded(recipe, clip, pictures)
    rows = tuple(_rows(maps, read)) if read else ()
    title = f"{clip.name}: where is the class? Brighter is more of it"
    return Drawings(rows, methods, title, notes, tuple(troubles))


def _possible(asked: Segmentation, names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The methods that the classes allow, and a note of those that are left out of all."""
    chosen = asked.chosen_methods
    kept = tuple(name for name in chosen if len(names) > 1 or not METHODS[name].others)
    left = [name for name in chosen if name not in kept]
    why = "it takes the mean over several classes away: give more with --class"
    return kept, tuple(f"{name} is left out: {why}" for name in left)


def known_of(
    run: Run, recipe: Recipe, clip: Clip, names: tuple[str, ...], methods: Sequence[str]
) -> Known:
    """The texts of the classes, and their neurons by the run's directions, as the stages have them."""
    asked = recipe.segmentation
    texts = clip.classifier(names, templates_in(asked.templates)).float().cpu()
    classes, choices = Classifier(names, texts.numpy()), choices_of(methods)
    if not choices:
        return Known(classes, {})
    swept = recipe.layers or range(clip.layers - 1)
    layers = chosen_layers(asked.neuron_layers, clip.layers, swept)
    found = directions_of(run, directions_stage(run), layers)
    weights = neurons_of(classes, found, choices, asked.neurons_per_class, recipe.seed)
    return Known(classes, weights)


def _decoded(
    recipe: Recipe, clip: Clip, pictures: Sequence[GivenPicture]
) -> tuple[list[tuple[str, Pixels]], list[str]]:
    preprocess = replace(clip.preprocess, high_depth=recipe.high_depth)
    read, troubles = [], []
    for picture in pictures:
        try:
            read.append((picture.name, preprocess.decode(picture.data, picture.name)))
        except PictureError as error:
            troubles.append(error.reason)
    return read, troubles


def _rows(maps: Maps, read: Sequence[tuple[str, Pixels]]) -> Iterator[Drawn]:
    pixels = np.stack([own for _, own in read])
    names = maps.known.classes.names
    pictures = torch.arange(len(read)).repeat_interleave(len(names))
    labels = torch.arange(len(names)).repeat(len(read))
    found = maps.of(pixels, pictures, labels)
    for number, (place, label) in enumerate(zip(pictures.tolist(), labels.tolist(), strict=True)):
        name, own = read[place]
        yield Drawn(Path(name).name, names[label], (), own, _grids(found, number, maps.grid))


def _grids(
    found: Mapping[str, Tensor], number: int, grid: tuple[int, int]
) -> dict[str, Float[np.ndarray, "rows columns"]]:
    return {name: own[number].reshape(grid).numpy() for name, own in found.items()}


def write_drawings(found: Drawings, folder: Path) -> list[Path]:
    """The files that were written: the sheet, then a picture for each row and method."""
    folder.mkdir(parents=True, exist_ok=True)
    if not found.rows:
        return []
    files = {"sheet.png": sheet(found.rows, found.title, found.methods)}
    for number, row in enumerate(found.rows):
        stem = f"{number:02d}-{_plain(Path(row.heading).stem)}-{_plain(row.name)}"
        for method in found.methods:
            files[f"{stem}-{method}.png"] = png(overlay(row.pixels, row.maps[method]))
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return [folder / name for name in files]


def _plain(text: str) -> str:
    """The text as a part of a file's name."""
    return re.sub(r"\W+", "_", text).strip("_")[:60] or "picture"
