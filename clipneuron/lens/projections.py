"""What every neuron of a layer writes along its direction on each picture, <phi_n(I) - b_n, r_n>, and where it acts.

With centred coefficients c and remainders k, the projection is c . (u r_n) + k . (Q r_n): one vector of the length of a
path per neuron, so that no effect is formed. A neuron *acts* on a picture where |phi_n - b_n| is above its threshold
and the projection is positive. Sums of c and k over these pictures give its mean effect there, hence the mean change of
any logit when the neuron is held at its mean, without an effect being stored.
"""

from typing import NamedTuple

from einops import einsum
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clipneuron.lens.ablations import read_products
from clipneuron.lens.effects import SecondOrderLens
from clipneuron.lens.paths import path_attention
from clipneuron.lens.trace import Trace


class Written(NamedTuple):
    """What neurons write on a batch of pictures."""

    projections: Float[Tensor, "image neuron"]
    """<phi_n - b_n, r_n>"""
    acting: Bool[Tensor, "image neuron"]
    """Whether |phi_n - b_n| is above the threshold and the projection positive."""
    coefficients: Float[Tensor, "neuron path"]
    """Centred coefficients, summed over the pictures on which the neuron acts."""
    remainders: Float[Tensor, "neuron coordinate"]
    """Centred coordinates of the remainder, summed likewise."""
    norms: Float[Tensor, "image neuron"]
    """|phi_n - b_n|"""


class LayerProjections:
    """The projections of one layer's neurons, for any number of traces.

    Cost per picture in multiply-adds, for N neurons, A paths and T tokens: T A N for coefficients, A^2 N for norms, A N
    for projections.
    """

    def __init__(
        self,
        lens: SecondOrderLens,
        mean: Float[Tensor, "neuron path"],
        mean_remainder: Float[Tensor, "coordinate"],
        directions: Float[Tensor, "neuron embed"],
        thresholds: Float[Tensor, "neuron"],
    ) -> None:
        like = lens.weights.projection
        self.lens, self.mean, self.mean_remainder = lens, mean.to(like), mean_remainder.to(like)
        self.thresholds = thresholds.to(like)
        along_paths, along_remainder = read_products(lens, [directions.to(like)])
        self.along_paths, self.along_remainder = along_paths[..., 0], along_remainder[0]

    def of(self, trace: Trace) -> Written:
        """What the neurons write on the pictures of a trace."""
        coefficients, remainders, norms = self.lens.centred(trace, self.mean, self.mean_remainder)
        projections = einsum(coefficients, self.along_paths, "i n p, n p -> i n")
        projections = projections + remainders @ self.along_remainder
        acting = (norms > self.thresholds) & (projections > 0)
        chosen = acting.to(coefficients)
        return Written(
            projections,
            acting,
            einsum(coefficients, chosen, "i n p, i n -> n p"),
            chosen.T @ remainders,
            norms,
        )

    def on_patches(self, trace: Trace) -> "OnPatches":
        """What all pictures of a trace share, formed once for any number of its pictures and neurons."""
        lens = self.lens
        attention = path_attention(lens.weights, trace, lens.layer, lens.normalize)
        remainders = lens.remainders(trace) - self.mean_remainder
        return OnPatches(self, trace.activations[lens.layer], attention, remainders)


class OnPatches(NamedTuple):
    """One layer's projections on the patches of a trace's pictures."""

    projections: LayerProjections
    activations: Float[Tensor, "image token neuron"]
    attention: Float[Tensor, "image path token"]
    remainders: Float[Tensor, "image coordinate"]
    """Centred."""

    def of(
        self, image: int, neurons: Int[Tensor, "neuron"]
    ) -> tuple[Float[Tensor, "neuron patch"], Float[Tensor, "neuron"]]:
        """Where in one picture some neurons write along their directions, and what they write in all.

        The first is each patch's share in <phi_n, r_n>: a_i p_i through all paths, along r. Together with what is read
        from the class token and the remainder, it adds up to <phi_n, r_n>. The second is <phi_n - b_n, r_n>. T A
        multiply-adds per neuron, for T tokens and A paths.
        """
        attention, layer = self.attention[image], self.projections
        active = self.activations[image][:, neurons].to(attention).T
        along = layer.along_paths[neurons]
        tokens = active * (along @ attention)
        from_remainder = (self.remainders[image] @ layer.along_remainder)[neurons]
        mean = (layer.mean[neurons] * along).sum(1)
        return tokens[:, 1:], tokens.sum(1) - mean + from_remainder


def mean_effects(
    counts: Float[Tensor, "neuron"],
    coefficients: Float[Tensor, "neuron path"],
    remainders: Float[Tensor, "neuron coordinate"],
    basis: Float[Tensor, "neuron path embed"],
    remainder_basis: Float[Tensor, "coordinate embed"],
) -> Float[Tensor, "neuron embed"]:
    """The mean of phi_n - b_n over the pictures that sums were taken over; zeros for a neuron that acts on none."""
    total = (coefficients.to(basis)[:, None] @ basis)[:, 0] + remainders.to(basis) @ remainder_basis
    return total / counts.to(basis).clamp(min=1)[:, None]
