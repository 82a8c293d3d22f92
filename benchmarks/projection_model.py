"""Floating-point operations of the passes that ablations need, from an architecture's shape; a multiply-add is two."""

import math
from dataclasses import dataclass

import open_clip
import torch

from clipneuron import Clip, load_clip
from clipneuron.sweep.memory.needs import pairs

LARGE = 0.05
"""Share of a layer's effects that are treated one by one in the fullest picture of a batch: 2 % are large on D."""


@dataclass(frozen=True)
class Shape:
    """What operations are counted from."""

    layers: int
    heads: int
    neurons: int
    width: int
    embed: int
    tokens: int

    @classmethod
    def of(cls, clip: Clip) -> "Shape":
        """A model's."""
        tokens = len(clip.visual.positional_embedding)
        return cls(
            clip.layers, clip.weights.heads, clip.neurons, clip.weights.width, clip.embed, tokens
        )

    @classmethod
    def named(cls, model: str) -> "Shape":
        """An architecture's, without weights."""
        with torch.device("meta"):
            network = open_clip.create_model(model, pretrained=None, device="meta")
        return cls.of(load_clip(network))

    @property
    def swept(self) -> range:
        """The layers with second-order effects."""
        return range(self.layers - 1)

    def paths(self, layer: int) -> int:
        """A."""
        return self.heads * (self.layers - 1 - layer)

    def coordinates(self, layer: int) -> int:
        """The bound of the remainder's."""
        return min(2 * self.paths(layer) + 3, self.embed)

    @property
    def channel(self) -> int:
        """Channels of a head."""
        return self.width // self.heads

    @property
    def capture(self) -> int:
        """What capture of all layers adds to a forward pass, per picture."""
        return 2 * (self.layers - 1) * self.width * (2 * self.width + self.heads * self.tokens)

    @property
    def spared(self) -> int:
        """What a trace leaves out of a forward pass, per picture: the last block at all tokens but the class token."""
        dense = 2 * self.width + 2 * self.neurons  # queries and outputs, and the MLP
        return 2 * (self.tokens - 1) * self.width * (dense + 2 * self.tokens)

    def common(self, layer: int, held: int) -> int:
        """Coefficients and remainders."""
        paths = self.paths(layer)
        return 2 * (self.tokens * paths * self.neurons + (2 * paths + 3) * held)

    def calibrate(self, layer: int, held: int) -> int:
        """Means and the products of remainders."""
        return self.common(layer, held) + 2 * held**2

    def products(self, layer: int) -> int:
        """Numbers per neuron that norms are taken from."""
        paths = self.paths(layer)
        return pairs(paths) + paths * min(self.channel, self.embed)

    def effects(self, layer: int, held: int) -> int:
        """Centred norms."""
        seen = self.paths(layer) * min(self.channel, self.embed) * held
        return self.common(layer, held) + 2 * (self.neurons * self.products(layer) + seen)

    def ablations(self, layer: int, held: int, wide: int, large: int) -> int:
        """All of Fig. 3; `large` effects in the fullest picture of a batch.

        Single effects have `held` coordinates of the remainder, their sum over the layer all `wide` ones.
        """
        paths, channel = self.paths(layer), self.channel
        landing = paths * channel * (self.width + self.embed)
        whole = self.tokens * paths * self.width + landing + (2 * paths + 3 + self.embed) * wide
        looked_at = large * paths * self.width + landing + held * self.embed
        replaced = self.neurons * (paths + held + self.embed)
        return self.effects(layer, held) + 2 * (whole + looked_at + replaced)

    def once(self) -> float:
        """What norms are taken from, of all layers, made for two passes."""
        each = 0
        for layer in self.swept:
            basis = self.paths(layer) * self.channel * (self.width + self.embed)
            each += 2 * self.neurons * (basis + self.products(layer) * self.embed)
        return 2.0 * each

    @property
    def held(self) -> float:
        """Bytes of what norms are taken from, of all layers, in float32."""
        return sum(4.0 * self.neurons * self.products(layer) for layer in self.swept)

    def bounds(self) -> dict[str, float]:
        """Added operations per picture of every pass, with coordinates at their bound."""
        large = math.ceil(LARGE * self.neurons)
        both = [(layer, self.coordinates(layer)) for layer in self.swept]
        ablated = sum(self.ablations(layer, held, held, large) for layer, held in both)
        return {
            "calibrate": self.capture + sum(self.calibrate(*pair) for pair in both),
            "effects": self.capture + sum(self.effects(*pair) for pair in both),
            "ablations": self.capture + ablated,
        }
