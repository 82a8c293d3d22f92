"""A model made ready to name the concepts of single pictures, from a finished sweep."""

from dataclasses import replace

from clipneuron.concepts.finder import Finder
from clipneuron.concepts.inputs import layers_of
from clipneuron.concepts.known import Sources, known_of
from clipneuron.concepts.pipeline import search_of, usual_layers
from clipneuron.concepts.swept import SweptStages
from clipneuron.config.recipe import Recipe
from clipneuron.models.clip.model import Clip
from clipneuron.models.clip.preprocessing.preprocess import Preprocess
from clipneuron.readers.lenses import Lenses, moved
from clipneuron.store.store import Run
from clipneuron.sweep.inputs import model_of


def finder_of(run: Run, recipe: Recipe, stages: SweptStages, clip: Clip | None = None) -> Finder:
    """The recipe's model with what the run knows.

    Raises ValueError for another model than the swept one and for layers that were not swept, and StoreError.
    """
    clip = clip or model_of(recipe)
    if clip.digest != run.identity["model"]:
        raise ValueError(
            f"{clip.name} is not the model that run {run.name} was swept with, or has other weights now: name that one "
            "with `recipe.model` and `recipe.pretrained`"
        )
    layers = layers_of(recipe.concepts, usual_layers(clip), stages.layers)
    sources = Sources(
        means=stages.means,
        directions=stages.directions,
        descriptions=stages.descriptions,
        texts=stages.texts,
        effects=stages.effects,
        heads=stages.heads,
    )
    search = search_of(recipe, layers)
    lenses = Lenses(layers, recipe.split, recipe.normalize)
    return Finder(moved(clip, recipe.device), lenses, search, known_of(run, search, sources))


def preprocess_of(finder: Finder, recipe: Recipe) -> Preprocess:
    """From the bytes of a picture to the model's pixels, as the recipe asks."""
    return replace(finder.clip.preprocess, high_depth=recipe.high_depth)
