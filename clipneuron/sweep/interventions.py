"""The stages of indirect effects on pictures of the sweep, which several lines of work on top of it share."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from clipneuron.engine.stage import Stage
from clipneuron.readers.sweep import Planned
from clipneuron.sweep.pipeline import Sweep
from clipneuron.sweep.stages.activations import ActivationMeansStage
from clipneuron.sweep.stages.indirect import IndirectDirectionsStage, IndirectStage

LEAST_TOP = 10
"""Effects of which the first direction says something: it explains at least a tenth of them."""


@dataclass(frozen=True)
class Interventions:
    """The indirect effects of some neurons of some layers, as the evaluation asks for."""

    means: ActivationMeansStage
    """The mean activations."""
    effects: IndirectStage
    """What changes when neurons are held at them."""
    directions: IndirectDirectionsStage
    """The first directions of the changes."""

    @classmethod
    def of(
        cls,
        sweep: Sweep,
        planned: Planned,
        layers: Sequence[int],
        named: Sequence[tuple[int, int]] = (),
    ) -> "Interventions":
        """Of neurons drawn by the recipe's seed, and of those (layer, neuron) that are named."""
        recipe, plan = sweep.recipe, sweep.plan()
        passes = sweep.loader, sweep.pictures
        batch, chosen = recipe.batch_size, tuple(layers)
        means = ActivationMeansStage(*passes, chosen, batch, plan, planned.parts)
        neurons = {layer: _neurons(sweep, layer, named) for layer in chosen}
        lenses, images = replace(sweep.lenses, layers=chosen), recipe.evaluation.indirect_images
        effects = IndirectStage(*passes, lenses, batch, plan, means, neurons, images)
        return cls(means, effects, IndirectDirectionsStage(effects, neurons, indirect_top(sweep)))

    @property
    def stages(self) -> list[Stage]:
        """The stages, in the order in which they read each other."""
        return [self.means, self.effects, self.directions]


def indirect_top(sweep: Sweep) -> int:
    """How many of the indirect effects give a direction: the share that the recipe's `top` is of D, at least ten.

    The paper's 100 of about 5,000 are 2 %; the more of the effects are taken, the less their first direction explains.
    Of fewer than ten, one direction explains much whatever they are.
    """
    pictures = len(sweep.collection)
    seen = min(sweep.recipe.evaluation.indirect_images, pictures)
    share = sweep.recipe.top / max(1, pictures)
    return min(seen, max(LEAST_TOP, round(share * seen)))


def _neurons(sweep: Sweep, layer: int, named: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """Neurons of a layer, drawn at random by the recipe's seed, and those that are named."""
    recipe = sweep.recipe
    generator = torch.Generator().manual_seed(1000 * recipe.seed + layer)
    drawn = torch.randperm(sweep.clip.neurons, generator=generator)
    others = {neuron for other, neuron in named if other == layer}
    return tuple(sorted({*drawn[: recipe.evaluation.indirect_neurons].tolist(), *others}))
