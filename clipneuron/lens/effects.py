"""Second-order effects of single neurons, Eq. 5 and 11, factorised over paths.

A path is one (later layer l', head h). With attention and layer-norm scales as they were in the forward
pass, what neuron n of layer l adds to the output through one path is linear in w^{l,n}, so

    phi_n(I)      = sum_path s_{n,path}(I) u_{n,path}  +  remainder(I)
    s_{n,path}(I) = sum_i a_i^{l',h}(I) p_i^{l,n}(I) / (sigma_i^{l'}(I) sigma_post(I))      `coefficients`
    u_{n,path}    = P^T diag(gamma_post) [C] W_O^h W_V^h diag(gamma_l') [C] w^{l,n}           `basis`

Only s depends on the image and only u on the weights, hence |phi_n|^2 needs the small Gram matrix u u^T alone
(`clipneuron.lens.norms`).

The two splits differ in what happens to the terms that belong to no single neuron:
  equal     Eq. 8-11: no centring C; the layer norms' means and betas, b_V, b_O and the MLP's output bias are
            divided equally over everything that adds to the residual stream before them. That share is the same
            vector for every neuron of the layer, `remainder(I)`: a few coordinates in a fixed orthonormal basis.
  centered  each neuron's own contribution is centred, C = I - 11^T/width; no remainder. The sum over neurons plus
            the bias's own paths is exactly what the MLP layer sent through the later heads.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor

from clipneuron.lens.norms import NormProducts
from clipneuron.lens.options import Split
from clipneuron.lens.paths import PathMatrices, RemainderTerms, path_attention, path_matrices
from clipneuron.lens.trace import HasWeights, TowerWeights, Trace

IN_CACHE = 2**18
"""Coefficients that norms are taken of at a time: 1 MB in float32, what a CPU's core has at hand."""

ON_DEVICE = 2**24
"""The same on a GPU, which is kept waiting by many small products."""


class Centred(NamedTuple):
    """Effects of a batch over their means, in a lens's coordinates.

    norms: |phi_n(I) - b_n|.
    """

    coefficients: Float[Tensor, "image neuron path"]
    remainders: Float[Tensor, "image coordinate"]
    norms: Float[Tensor, "image neuron"]


class SecondOrderLens:
    """The second-order effects of one MLP layer's neurons, for any number of traces.

    Holds what `clipneuron.lens.norms` makes of the weights (float32: 26 MB for layer 9 of ViT-B-32, 256 MB for its
    layer 0); nothing depends on an image. `normalize` divides effects by |M_image(I)|, as the authors' code does. With
    `half`, norms come from half the memory, off by about 1e-5.

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
    def remainder_basis(self) -> Float[Tensor, "coordinate embed"]:
        """An orthonormal basis of the remainder's space; empty in the centered split."""
        return self._remainder[1]

    @cached_property
    def products(self) -> NormProducts:
        """What norms take of the neurons."""
        write, remainder = self._paths.write, self.remainder_basis
        made = NormProducts.of(self.basis, self.weights.neurons, write, remainder, self.half)
        if self.half:  # gigabytes in all layers; what needs them makes them anew
            self.__dict__.pop("_paths", None)
        return made

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
        return self._sent(trace, attention, mean, slice(None))

    def coefficient_sum(self, trace: Trace) -> Float[Tensor, "neuron path"]:
        """`coefficients` summed over the images in float64, each block's while they are in the cache."""
        attention = path_attention(self.weights, trace, self.layer, self.normalize)
        total = attention.new_empty(self.weights.neurons, self.paths, dtype=torch.float64)
        for block in self._blocks(trace.images):
            some = self._sent(trace, attention, None, block)
            total[block] = some.sum(0, dtype=torch.float64)
        return total

    def _sent(
        self,
        trace: Trace,
        attention: Float[Tensor, "image path token"],
        mean: Float[Tensor, "neuron path"] | None,
        block: slice,
    ) -> Float[Tensor, "image some path"]:
        """`coefficients` of some neurons."""
        activations = trace.activations[self.layer][..., block].to(attention)
        if mean is None:
            return activations.mT @ attention.mT
        outside = mean[block].to(attention).expand(trace.images, -1, -1)
        return torch.baddbmm(outside, activations.mT, attention.mT, beta=-1)

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
        return self._norms(coefficients, remainders, lambda block: coefficients[:, block])

    def _norms(
        self,
        coefficients: Float[Tensor, "image neuron path"],
        remainders: Float[Tensor, "image coordinate"],
        taken: Callable[[slice], Float[Tensor, "image some path"]],
    ) -> Float[Tensor, "image neuron"]:
        """`norms_of`, with each block of the coefficients as `taken` gives it."""
        along = self.products.along(remainders)
        squares = coefficients.new_empty(coefficients.shape[:2])
        for block in self._blocks(len(coefficients)):
            squares[:, block] = self.products.squares(block, taken(block), along)
        squares += remainders.square().sum(-1, keepdim=True)
        return squares.clamp_(min=0).sqrt_()

    def centred(
        self,
        trace: Trace,
        mean: Float[Tensor, "neuron path"],
        mean_remainder: Float[Tensor, "coordinate"],
        room: Float[Tensor, "number"] | None = None,
    ) -> Centred:
        """Effects over their means, and the norms, each block's while its coefficients are in the cache.

        Coefficients are written into `room` where it is given, which has at least `self.room(images)` numbers: memory
        that is new each time costs more than what is written there.
        """
        attention = path_attention(self.weights, trace, self.layer, self.normalize)
        remainders = self.remainders(trace) - mean_remainder
        shape = trace.images, self.weights.neurons, self.paths
        room = attention.new_empty(self.room(trace.images)) if room is None else room
        coefficients = room[: self.room(trace.images)].view(shape)

        def taken(block: slice) -> Tensor:
            coefficients[:, block] = found = self._sent(trace, attention, mean, block)
            return found

        return Centred(coefficients, remainders, self._norms(coefficients, remainders, taken))

    def room(self, images: int) -> int:
        """How many coefficients so many images have."""
        return images * self.weights.neurons * self.paths

    def _blocks(self, images: int) -> Iterator[slice]:
        """Blocks of neurons, some multiple of sixteen."""
        weights = self.weights
        most = IN_CACHE if weights.projection.device.type == "cpu" else ON_DEVICE
        size = max(16, most // max(1, images * self.paths) // 16 * 16)
        for start in range(0, weights.neurons, size):
            yield slice(start, start + size)

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
