"""What several lines of work on top of a sweep share: names of their stages, and the effects of intervening."""

from dataclasses import dataclass, replace

import torch

from clipneuron.engine.pipeline import mark
from clipneuron.engine.stage import Stage
from clipneuron.store.store import Run
from clipneuron.sweep.pipeline import Sweep, parts_of
from clipneuron.sweep.stages.activations import ActivationMeansStage
from clipneuron.sweep.stages.indirect import IndirectDirectionsStage, IndirectStage


@dataclass(frozen=True)
class Interventions:
    """The indirect effects of some neurons of some layers on pictures of the sweep, as the evaluation asks for."""

    sweep: Sweep
    run: Run
    layers: tuple[int, ...]
    named: tuple[tuple[int, int], ...] = ()
    """(layer, neuron) to be among them, besides those that are drawn."""

    @property
    def stages(self) -> list[Stage]:
        """The stages, in the order in which they read each other."""
        return [self.means, self.effects, self.directions]

    @property
    def means(self) -> ActivationMeansStage:
        """The stage with the mean activations."""
        sweep = self.sweep
        return ActivationMeansStage(
            sweep.loader,
            sweep.pictures,
            self.layers,
            sweep.recipe.batch_size,
            parts_of(self.run),
            sweep.key(f"activation-means-{'-'.join(map(str, self.layers))}", self.run),
        )

    @property
    def effects(self) -> IndirectStage:
        """The stage that holds neurons at their means."""
        sweep, images = self.sweep, self.sweep.recipe.evaluation.indirect_images
        neurons = {layer: self._neurons(layer) for layer in self.layers}
        return IndirectStage(
            sweep.key(f"indirect-{mark(neurons, images)}", self.run),
            sweep.loader,
            sweep.pictures,
            replace(sweep.lenses, layers=self.layers),
            sweep.recipe.batch_size,
            self.means.name,
            neurons,
            images,
        )

    @property
    def directions(self) -> IndirectDirectionsStage:
        """The stage with the first directions of the effects."""
        effects, top = self.effects, self.sweep.recipe.top
        name = effects.name.replace("indirect", "indirect-directions", 1)
        return IndirectDirectionsStage(f"{name}-top-{top}", effects.name, effects.neurons, top)

    def _neurons(self, layer: int) -> tuple[int, ...]:
        """Neurons of a layer, drawn at random by the recipe's seed, and those that are named."""
        recipe = self.sweep.recipe
        generator = torch.Generator().manual_seed(1000 * recipe.seed + layer)
        drawn = torch.randperm(self.sweep.clip.neurons, generator=generator)
        named = {neuron for other, neuron in self.named if other == layer}
        return tuple(sorted({*drawn[: recipe.evaluation.indirect_neurons].tolist(), *named}))
