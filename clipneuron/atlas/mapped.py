"""The stages that say where in pictures their classes are, as a run and its recipe allow."""

from collections.abc import Sequence
from typing import Any

from clipneuron.atlas.gather.pictured import Gallery
from clipneuron.atlas.stages.class_maps import ClassMapsStage, PaintedClassMapsStage
from clipneuron.engine.stage import Stage, Upstream
from clipneuron.lens.attribution.methods import METHODS
from clipneuron.segmentation.layers import usual_layers
from clipneuron.sweep.pipeline import Sweep, SweepStages


def mapped(
    sweep: Sweep,
    swept: SweepStages,
    shown: Upstream,
    classifier: str,
    classes: int,
    galleries: Sequence[Gallery],
) -> tuple[Stage, ...]:
    """The maps of the pictures that are shown, and those of galleries, for the classes that a stage has encoded.

    Methods that read neurons are left out where none of their layers is swept, and those that compare classes where
    there is one alone.
    """
    asked = sweep.recipe.segmentation
    wanted = asked.neuron_layers or usual_layers(sweep.clip.layers)
    layers = tuple(layer for layer in sorted({*wanted}) if layer in sweep.layers)
    methods = tuple(name for name in asked.chosen_methods if _possible(name, layers, classes))
    common: dict[str, Any] = {
        "clip": sweep.loader,
        "methods": methods,
        "batch_size": sweep.recipe.batch_size,
        "classifier": classifier,
        "directions": swept.directions,
        "layers": layers,
        "count": min(asked.neurons_per_class, len(layers) * sweep.clip.neurons),
        "seed": sweep.recipe.seed,
        "most": sweep.recipe.atlas.class_maps,
    }
    own = ClassMapsStage(pictures=sweep.pictures, plan=swept.plan, shown=shown, **common)
    painted = (
        PaintedClassMapsStage(gallery=gallery, preprocess=sweep.preprocess, **common)
        for gallery in galleries
    )
    return (own, *painted)


def _possible(name: str, layers: Sequence[int], classes: int) -> bool:
    method = METHODS[name]
    return bool(layers or method.choice is None) and (classes > 1 or not method.others)
