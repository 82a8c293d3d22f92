"""What is asked of concepts, found: the pictures, the layers, and who says what is true of the pictures."""

from collections.abc import Sequence
from typing import NamedTuple

from clipneuron.config.concepts import Concepts
from clipneuron.config.recipe import Recipe
from clipneuron.data.opening import Collection, check_place
from clipneuron.explanation.inputs import (
    StatedWitness,
    hypernyms_in,
    label_witness,
    scene_witness,
    scenes_seed,
    tag_witness,
)
from clipneuron.store.objects.protocol import Objects
from clipneuron.sweep.inputs import (
    DEMO_PICTURES,
    Rendered,
    columns_of,
    open_pictures,
    seen_in,
    thinned,
)
from clipneuron.sweep.inputs import check as check_sweep


def check(recipe: Recipe) -> None:
    """Raises ValueError for what can be seen to be missing without a model."""
    check_sweep(recipe)
    asked = recipe.concepts
    if asked.images not in ("", "demo"):
        check_place(asked.images)
    if asked.hypernyms:
        hypernyms_in(asked.hypernyms)
    layers = recipe.layers
    if missing := sorted({*asked.concept_layers} - {*layers}) if layers else []:
        raise ValueError(_not_swept(missing, layers))


class Looked(NamedTuple):
    """The pictures that concepts are looked for in."""

    pictures: Collection
    images: str
    """Where they are, as people have said it."""
    swept: int
    """How many of them the sweep has seen."""


def pictures_of(recipe: Recipe, store: Objects, swept: Collection) -> Looked:
    """The pictures that are named, or the swept ones; raises ValueError where there are none.

    Those of the demo world are the held-out scenes of the explanation.
    """
    asked = recipe.concepts
    if asked.images:
        rendered = Rendered(scenes_seed(recipe), asked.limit or DEMO_PICTURES, of_things=False)
        whole = open_pictures(asked.images, store, rendered, columns_of(asked, "concepts"))
    else:
        whole = swept
    pictures = thinned(whole, asked.every, asked.limit)
    return Looked(pictures, asked.images or recipe.images, sum(seen_in(swept, pictures)))


def layers_of(asked: Concepts, layers: Sequence[int], swept: Sequence[int]) -> tuple[int, ...]:
    """The layers whose neurons name concepts, rising: those asked for, or else `layers`.

    Raises ValueError for layers that are not swept.
    """
    chosen = tuple(sorted({*asked.concept_layers})) or tuple(layers)
    if missing := sorted({*chosen} - {*swept}):
        raise ValueError(_not_swept(missing, swept))
    return chosen


def _not_swept(missing: Sequence[int], swept: Sequence[int]) -> str:
    return (
        f"`concepts.concept_layers` {[*missing]} are not among the layers of the run, {[*swept]}: add them to "
        "`recipe.layers`, or choose among those"
    )


def witness_of(recipe: Recipe, looked: Looked) -> StatedWitness | None:
    """Who says what is true of the pictures: scenes, tags or classes; None where nobody does. Raises ValueError."""
    asked, pictures = recipe.concepts, looked.pictures
    if asked.tag_column:
        return tag_witness(pictures, looked.images, asked.tag_column, "`concepts.tag_column`")
    if asked.images == "demo":
        return scene_witness(scenes_seed(recipe))
    if looked.images == "demo":
        return scene_witness(recipe.seed)
    names = [*pictures.label_names.values()]
    return label_witness(names, looked.images, asked.hypernyms, "concepts") if names else None
