"""Second-order effects of single neurons, Eq. 5 and 11, factorised over paths.

A path is one (later layer l', head h). With attention and layer-norm scales as they were in the forward
pass, what neuron n of layer l adds to the output through one path is linear in w^{l,n}, so

    phi_n(I)      = sum_path s_{n,path}(I) u_{n,path}  +  remainder(I)
    s_{n,path}(I) = sum_i a_i^{l',h}(I) p_i^{l,n}(I) / (sigma_i^{l'}(I) sigma_post(I))      `coefficients`
    u_{n,path}    = P^T diag(gamma_post) [C] W_O^h W_V^h diag(gamma_l') [C] w^{l,n}           `basis`

Only s depends on the image and only u on the weights, hence |phi_n|^2 needs the small Gram matrix u u^T alone.

The two splits differ in what happens to the terms that belong to no single neuron:
  equal     Eq. 8-11: no centring C; the layer norms' means and betas, b_V, b_O and the MLP's output bias are
            divided equally over everything that adds to the residual stream before them. That share is the same
            vector for every neuron of the layer, `remainder(I)`: a few coordinates in a fixed orthonormal basis.
  centered  each neuron's own contribution is centred, C = I - 11^T/width; no remainder. The sum over neurons plus
            the bias's own paths is exactly what the MLP layer sent through the later heads.
"""

from collections.abc import Sequence
from functools import cached_property

import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor

from clipneuron.lens.halves import CROSS_AXES, HalfNorms
from clipneuron.lens.options import Split
from clipneuron.lens.paths import PathMatrices, RemainderTerms, path_attention, path_matrices
from clipneuron.lens.trace import HasWeights, TowerWeights, Trace

BLOCK = 256
"""Neurons per block of the norms' products: the block's coefficients stay in the processor's cache."""


class SecondOrderLens:
    """The second-order effects of one MLP layer's neurons, for any number of traces.

    Holds the Gram matrices [neuron, path, path] (float32: 7 MB for layer 9 of ViT-B-32, 214 MB for its layer 0) and,
    in the equal split, [neuron, coordinate, path] with up to 2 path + 3 coordinates; nothing depends on an image.
    `normalize` divides effects by |M_image(I)|, as the authors' code does. With `half`, norms come from a third of the
    memory, off by about 1e-5 (`clipneuron.lens.halves`).

    Raises ValueError for a layer that does not exist or has no later attention layer, and for an unknown split.
    """

    def __init__(
        self,
        clip: HasWeights,
        layer: int,
        *,
        split: Split = "equal",
        normalize: bool = True,
        half: bool = False,
    ) -> None:
        if split not in ("equal", "centered"):
            raise ValueError(f"unknown split {split!r}: expected 'equal' or 'centered'")
        clip.weights.check_layer(layer)
        self.weights = _at_least_float32(clip.weights)
        self.layer, self.split, self.normalize, self.half = layer, split, normalize, half
        self._terms = RemainderTerms.of(self.weights, layer) if split == "equal" else None
        self._axes: Tensor | None = None

    def narrowed(self, axes: Float[Tensor, "coordinate axis"]) -> "SecondOrderLens":
        """The same lens with remainders along these orthonormal axes only: fewer coordinates, less work.

        For `Moments.axes`, which leave out what carries no variance. Coordinates are `remainders(trace)` @ axes.
        """
        lens = SecondOrderLens(
            self, self.layer, split=self.split, normalize=self.normalize, half=self.half
        )
        lens._axes = axes.to(self.weights.projection)
        return lens

    @property
    def paths(self) -> int:
        """A, the number of (later layer, head) paths."""
        return self.weights.paths(self.layer)

    @cached_property
    def _paths(self) -> PathMatrices:
        return path_matrices(self.weights, self.layer, self.split)

    def basis(
        self, neurons: Sequence[int] | slice | None = None
    ) -> Float[Tensor, "neuron path embed"]:
        """u: where a unit coefficient of each path lands in the joint space, for all or chosen neurons."""
        return self._paths.send(self.weights.blocks[self.layer].neuron_writes[_chosen(neurons)])

    @cached_property
    def gram(self) -> Float[Tensor, "neuron path path"]:
        """G = u u^T of every neuron; made in place, since it can be gigabytes."""
        count = self.weights.neurons
        gram = self.weights.projection.new_empty(count, self.paths, self.paths)
        for block in _blocks(count):
            basis = self.basis(block)
            gram[block] = basis @ basis.mT
        return gram

    @cached_property
    def remainder_basis(self) -> Float[Tensor, "coordinate embed"]:
        """An orthonormal basis of the remainder's space; empty in the centered split."""
        return self._remainder[1]

    @cached_property
    def cross(self) -> Float[Tensor, "neuron coordinate path"]:
        """Products of the remainder's basis with the basis of every neuron: [coordinate, path] each."""
        count, remainder = self.weights.neurons, self.remainder_basis
        cross = remainder.new_empty(count, len(remainder), self.paths)
        for block in _blocks(count):
            cross[block] = remainder @ self.basis(block).mT
        return cross

    @cached_property
    def _remainder(
        self,
    ) -> tuple[Float[Tensor, "term coordinate"], Float[Tensor, "coordinate embed"]]:
        if self._terms is None:
            empty = self.weights.projection.new_zeros
            return empty(0, 0), empty(0, self.weights.embed)
        like = self._terms.basis
        left, sizes, right = torch.linalg.svd(like.double(), full_matrices=False)
        kept = sizes > sizes.max() * torch.finfo(like.dtype).eps
        values, basis = (left * sizes)[:, kept].to(like), right[kept].to(like)
        return (
            (values, basis) if self._axes is None else (values @ self._axes, self._axes.mT @ basis)
        )

    def coefficients(
        self, trace: Trace, mean: Float[Tensor, "neuron path"] | None = None
    ) -> Float[Tensor, "image neuron path"]:
        """s, minus `mean` if given (in the same product, so that centring costs no extra pass over memory)."""
        attention = path_attention(self.weights, trace, self.layer, self.normalize)
        activations = trace.activations[self.layer].to(attention)
        if mean is None:
            return activations.mT @ attention.mT
        return torch.baddbmm(
            mean.to(attention).expand(trace.images, -1, -1), activations.mT, attention.mT, beta=-1
        )

    def remainders(self, trace: Trace) -> Float[Tensor, "image coordinate"]:
        """Coordinates of the remainder in `remainder_basis`, the same for all neurons of the layer."""
        if self._terms is None:
            return self.weights.projection.new_zeros(trace.images, 0)
        return (
            self._terms.values(self.weights, trace, self.layer, self.normalize) @ self._remainder[0]
        )

    def norms(self, trace: Trace) -> Float[Tensor, "image neuron"]:
        """|phi_n(I)| of every neuron, from s^T G s: no effect is materialised."""
        return self.norms_of(self.coefficients(trace), self.remainders(trace))

    def norms_of(
        self,
        coefficients: Float[Tensor, "image neuron path"],
        remainders: Float[Tensor, "image coordinate"],
    ) -> Float[Tensor, "image neuron"]:
        """|s u + k Q| for given coefficients s and remainder coordinates k: centred norms if both are centred."""
        if self.half:
            return self._half_norms.norms_of(coefficients, remainders)
        squares = coefficients.new_empty(coefficients.shape[:2])
        for block in _blocks(self.weights.neurons):
            mine = coefficients[:, block].transpose(0, 1)
            products = mine @ self.gram[block]
            if remainders.shape[1]:
                left = remainders.expand(len(mine), -1, -1)
                products.baddbmm_(left, self.cross[block], alpha=2)
            squares[:, block] = products.mul_(mine).sum(-1).T
        squares += remainders.square().sum(-1, keepdim=True)
        return squares.clamp_(min=0).sqrt_()

    @cached_property
    def _half_norms(self) -> HalfNorms:
        """Principal axes rise with their variance: of a narrowed lens the last ones count."""
        remainder = (
            self.remainder_basis if self._axes is None else self.remainder_basis[-CROSS_AXES:]
        )
        held = HalfNorms.of(self.basis, self.weights.neurons, self.paths, remainder)
        # Gigabytes in all layers; what needs them makes them anew.
        self.__dict__.pop("_paths", None)
        return held

    def effects(
        self, trace: Trace, neurons: Sequence[int] | None = None
    ) -> Float[Tensor, "image neuron embed"]:
        """phi_n(I) itself, for all or chosen neurons."""
        coefficients = self.coefficients(trace)[:, _chosen(neurons)]
        linear = einsum(
            coefficients,
            self.basis(neurons),
            "image neuron path, neuron path embed -> image neuron embed",
        )
        return linear + (self.remainders(trace) @ self.remainder_basis)[:, None]

    def layer_effect(self, trace: Trace) -> Float[Tensor, "image embed"]:
        """The sum of phi_n(I) over all neurons of the layer, without computing any of them.

        The sum over neurons of p_i w^{l,n} is the MLP's output minus its bias, sent through the same paths once. It is
        taken from `mlp_writes` where the trace has them and multiplied out again where it has none or where the model's
        half precision has rounded them. Multiply-adds per image, for T tokens, A paths, width W and N neurons: T A W
        through the paths, and T N W for multiplying out.
        """
        attention = path_attention(self.weights, trace, self.layer, self.normalize)
        total = self.landed(self._gathered(trace, attention))
        return total + self.weights.neurons * self.remainders(trace) @ self.remainder_basis

    def _gathered(
        self, trace: Trace, attention: Float[Tensor, "image path token"]
    ) -> Float[Tensor, "image path width"]:
        """What each path gathers from all neurons together."""
        block, like = self.weights.blocks[self.layer], self.weights.projection
        written = trace.mlp_writes.get(self.layer)
        if written is None or written.dtype != like.dtype:
            return attention @ (trace.activations[self.layer].to(like) @ block.neuron_writes)
        # the bias is subtracted after summing over tokens, which saves a second copy of all tokens
        return attention @ written - attention.sum(-1, keepdim=True) * block.neuron_bias

    def bias_effect(self, trace: Trace) -> Float[Tensor, "image embed"]:
        """What the MLP's output bias adds through the same paths; part of the remainder in the equal split."""
        bias = self.weights.blocks[self.layer].neuron_bias
        attention = path_attention(self.weights, trace, self.layer, self.normalize)
        return attention.sum(-1) @ self._paths.send(bias[None])[0]

    def landed(self, gathered: Float[Tensor, "image path width"]) -> Float[Tensor, "image embed"]:
        """The image in the joint space of the residual-stream vectors that each path has gathered, summed over paths.

        They may be gathered over tokens, with `path_attention` as weights, or over neurons, with coefficients.
        """
        values = einsum(
            gathered, self._paths.read, "image path width, path channel width -> image path channel"
        )
        return einsum(
            values, self._paths.write, "image path channel, path channel embed -> image embed"
        )


def _at_least_float32(weights: TowerWeights) -> TowerWeights:
    """The weights, in float32 instead of half precision, which is too coarse for sums of thousands of small effects."""
    half = weights.projection.dtype in (torch.float16, torch.bfloat16)
    return weights.to(torch.float32) if half else weights


def _chosen(neurons: Sequence[int] | slice | None) -> slice | list[int]:
    if neurons is None:
        return slice(None)
    return neurons if isinstance(neurons, slice) else list(neurons)


def _blocks(neurons: int) -> list[slice]:
    return [slice(start, min(start + BLOCK, neurons)) for start in range(0, neurons, BLOCK)]
