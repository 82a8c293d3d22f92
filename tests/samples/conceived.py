"""Concepts in the tiny world: pictures of three classes, one of them broken, beside those of the sweep."""

from pathlib import Path

from clipneuron.concepts.pipeline import ConceptsLine
from clipneuron.models.clip.model import Clip
from clipneuron.store.objects.protocol import Objects
from tests.samples.explained import held_out
from tests.samples.world import clip, recipe_of, store_in


def concepts_of(
    folder: Path,
    store: str | Objects = "store",
    *,
    asked: dict[str, object] | None = None,
    model: Clip | None = None,
    **options: object,
) -> ConceptsLine:
    """The concepts on top of `sweep_of`: in 8 pictures of each of the classes cat, dog and tree."""
    concepts = {
        "images": str(held_out(folder / "looked at", each=8)),
        "concept_layers": (0, 1),
        "count": 4,
        "strongest": 2,
        "penalty": 0.3,
        "sample": 8,
        "depth": 2,
        "head_texts": 3,
        **(asked or {}),
    }
    recipe = recipe_of(folder, **{**options, "concepts": concepts})
    return ConceptsLine.of(recipe, store_in(folder, store), model or clip())
