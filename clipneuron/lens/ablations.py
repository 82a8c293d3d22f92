"""Mean-ablations: the embedding with some effects replaced by their means over D (Sec. 3.3, 4 and A.2).

Second order, one layer at a time (Fig. 3, 4, 9), with phi_n the effect of neuron n and b_n its mean over D:

    all      every phi_n -> b_n
    large    phi_n -> b_n where |phi_n - b_n| is above the neuron's threshold, its 100th largest on D
    small    phi_n -> b_n everywhere else
    others   phi_n -> b_n + <phi_n - b_n, read_n> write_n: one direction per neuron, the first principal one or
             its sparse sum of texts (`Replacement`)

The result is what to add to `representations`. The sum of phi_n over a layer's neurons costs one product of its MLP's
output with the paths, and a sum of <phi_n - b_n, read_n> write_n two products of coefficients. Only significant
effects are treated one by one, so no effect is ever materialised.

First order (Fig. 10, 11): `cumulative_ablations` of addends of the embedding, such as attention layers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import embedding

from clipneuron.lens.effects import SecondOrderLens
from clipneuron.lens.options import Rule
from clipneuron.lens.trace import Trace

BLOCK = 256
"""Neurons at a time: so many rows of W_out are gathered per image, and so many bases are held."""

FIXED = ("all", "large", "small")
"""The ablations that need no replacement."""


@dataclass(frozen=True)
class Replacement:
    """One direction per neuron instead of its effects: phi_n - b_n -> <phi_n - b_n, read_n> write_n.

    First principal component: read = write = r. Its texts, in the paper (Sec. 4): read = r, write = the sparse sum;
    in the authors' code: read = write = the sparse sum, not normalised.
    """

    read: Float[Tensor, "neuron embed"]
    write: Float[Tensor, "neuron embed"]


def text_replacement(
    directions: Float[Tensor, "neuron embed"],
    reconstructions: Float[Tensor, "neuron embed"],
    rule: Rule,
) -> Replacement:
    """Sparse sums of texts in place of effects, as in the paper or as in the authors' code (Fig. 4)."""
    return Replacement(directions if rule == "paper" else reconstructions, reconstructions)


class Ablated(NamedTuple):
    """The ablations of some images.

    changes: what each adds to `representations`, by its name [image, embed].
    norms: the centred norms |phi_n - b_n| [image, neuron].
    """

    changes: dict[str, Float[Tensor, "image embed"]]
    norms: Float[Tensor, "image neuron"]


class LayerAblation:
    """All second-order ablations of one layer, from one trace.

    `mean` and `mean_remainder` are b_n in the lens's coordinates, as `Moments.mean` gives them. Effects whose centred
    norm is above `thresholds` count as large. `replacements` may have any name except all, large and small; those that
    read the same tensor share their projections. With `axes`, from `Moments.axes`, single effects are computed with the
    narrowed lens; the sum over all neurons is not, since there whatever the axes leave out would count N times.

    Cost per image, in multiply-adds, for T tokens, N neurons, A paths, width W, embed d and K large effects:
    T A W for the sum of effects (T N W more for traces without `mlp_writes`), (T + A + R) A N for coefficients, norms
    and R different `read`, N d for each replacement, K A W for the large effects. Memory: the lens's Gram matrices,
    N W, R N A, and N d per replacement.

    Raises ValueError where shapes do not fit the lens's layer or a replacement's name is taken.
    """

    def __init__(
        self,
        lens: SecondOrderLens,
        mean: Float[Tensor, "neuron path"],
        mean_remainder: Float[Tensor, "coordinate"],
        thresholds: Float[Tensor, "neuron"],
        replacements: Mapping[str, Replacement],
        axes: Float[Tensor, "coordinate axis"] | None = None,
    ) -> None:
        _check(lens, mean, mean_remainder, thresholds, replacements)
        like = lens.weights.projection
        self.whole, self.mean, mean_remainder = lens, mean.to(like), mean_remainder.to(like)
        self.lens = lens if axes is None else lens.narrowed(axes)
        self.mean_remainder = mean_remainder if axes is None else mean_remainder @ axes.to(like)
        self.thresholds = thresholds.to(like)
        self._writes = {name: item.write.to(like) for name, item in replacements.items()}
        reads = {id(item.read): item.read.to(like) for item in replacements.values()}
        self._column = {name: list(reads).index(id(r.read)) for name, r in replacements.items()}
        self._reads = read_products(self.lens, list(reads.values()))
        # the model holds the transpose, from which gathering rows is ten times slower
        self._rows = lens.weights.blocks[lens.layer].neuron_writes.contiguous()
        rows = self.mean.mT @ self._rows
        self._mean_sum = lens.landed(rows[None])[0] + (
            lens.weights.neurons * mean_remainder @ lens.remainder_basis
        )

    def changes(self, trace: Trace) -> dict[str, Float[Tensor, "image embed"]]:
        """What each ablation adds to the `representations` of the trace's images, by its name."""
        return self.ablated(trace).changes

    def ablated(self, trace: Trace) -> "Ablated":
        """The changes, and the norms that decided which effects were large."""
        coefficients, remainders, norms = self.lens.centred(trace, self.mean, self.mean_remainder)
        without = self._mean_sum - self.whole.layer_effect(trace)
        large = -self._sum(coefficients, remainders, norms > self.thresholds)
        projections = self._projections(coefficients, remainders)
        replaced = {
            name: without + projections[self._column[name]] @ write
            for name, write in self._writes.items()
        }
        changes = {"all": without, "large": large, "small": without - large, **replaced}
        return Ablated(changes, norms)

    def _sum(
        self,
        coefficients: Float[Tensor, "image neuron path"],
        remainders: Float[Tensor, "image coordinate"],
        chosen: Bool[Tensor, "image neuron"],
    ) -> Float[Tensor, "image embed"]:
        """The sum of the chosen centred effects."""
        counts = chosen.sum(1, keepdim=True).to(remainders)
        through_paths = self.lens.landed(_gathered(coefficients, chosen, self._rows))
        return through_paths + counts * (remainders @ self.lens.remainder_basis)

    def _projections(
        self,
        coefficients: Float[Tensor, "image neuron path"],
        remainders: Float[Tensor, "image coordinate"],
    ) -> Float[Tensor, "read image neuron"]:
        """<phi_n - b_n, read_n> for every different `read`."""
        along_paths, along_remainder = self._reads
        values = rearrange(coefficients.transpose(0, 1) @ along_paths, "n i r -> r i n")
        return values + remainders @ along_remainder


def representations(trace: Trace, *, normalize: bool = True) -> Float[Tensor, "image embed"]:
    """M_image(I), divided by its norm when `normalize`: what ablations change, on the lens's scale."""
    embeddings = trace.embeddings.to(trace.ln_post.sigma)
    return embeddings / embeddings.norm(dim=-1, keepdim=True) if normalize else embeddings


def cumulative_ablations(
    before: Float[Tensor, "image embed"],
    effects: Float[Tensor, "image term embed"],
    means: Float[Tensor, "term embed"],
    start: Literal["first", "last"] = "first",
) -> Float[Tensor, "cut image embed"]:
    """The `representations` before, with the first (or last) 0, 1, ... all terms at their means over D (Fig. 10, 11).

    Terms are addends of the representation, in order, such as `head_effects(...).sum(2)` (attention layers) or
    `head_effects(...).flatten(1, 2)` (heads), on the same scale. Cut 0 changes nothing. With `first`, the order of the
    first-order paper's code, cut l + 1 leaves only what comes after layer l. Raises ValueError for other shapes.
    """
    if effects.shape[1:] != means.shape or len(effects) != len(before):
        raise ValueError(
            f"effects {list(effects.shape)} do not fit means {list(means.shape)} and representations "
            f"{list(before.shape)}: expected [image, term, embed], [term, embed], [image, embed]"
        )
    if start not in ("first", "last"):
        raise ValueError(f"unknown start {start!r}: expected 'first' or 'last'")
    steps = means.to(effects) - effects
    steps = rearrange(steps.flip(1) if start == "last" else steps, "i term d -> term i d")
    return torch.cat([torch.zeros_like(steps[:1]), steps.cumsum(0)]) + before


def read_products(
    lens: SecondOrderLens, reads: list[Tensor]
) -> tuple[Float[Tensor, "neuron path read"], Float[Tensor, "read coordinate neuron"]]:
    """The products of the `read` directions with the paths' bases and with the remainder's basis."""
    neurons = lens.weights.neurons
    if not reads:
        empty = lens.weights.projection.new_empty
        return empty(neurons, lens.paths, 0), empty(0, len(lens.remainder_basis), neurons)
    stacked = torch.stack(reads, dim=-1)
    starts = range(0, neurons, BLOCK)
    blocks = [slice(start, min(start + BLOCK, neurons)) for start in starts]
    along_paths = torch.cat([lens.basis(block) @ stacked[block] for block in blocks])
    return along_paths, lens.remainder_basis @ rearrange(stacked, "n d r -> r d n")


def _gathered(
    coefficients: Float[Tensor, "image neuron path"],
    chosen: Bool[Tensor, "image neuron"],
    rows: Float[Tensor, "neuron width"],
) -> Float[Tensor, "image path width"]:
    """sum s_{n,path} w^{l,n} over the chosen neurons of each image.

    Each image's chosen neurons are sorted to the front, and only as many places are processed as the fullest image
    needs.
    """
    images, _, paths = coefficients.shape
    most = int(chosen.sum(1).max())
    order = chosen.byte().argsort(dim=1, descending=True, stable=True)[:, :most]
    total = coefficients.new_zeros(images, paths, rows.shape[1])
    for places in torch.split(order, BLOCK, dim=1):
        mine = coefficients.gather(1, repeat(places, "i n -> i n p", p=paths))
        mine = mine * chosen.gather(1, places)[..., None]
        total.baddbmm_(mine.mT, embedding(places, rows))
    return total


def _check(
    lens: SecondOrderLens,
    mean: Tensor,
    mean_remainder: Tensor,
    thresholds: Tensor,
    replacements: Mapping[str, Replacement],
) -> None:
    neurons, embed = lens.weights.neurons, lens.weights.embed
    expected = {
        "mean": (mean, (neurons, lens.paths)),
        "mean_remainder": (mean_remainder, (len(lens.remainder_basis),)),
        "thresholds": (thresholds, (neurons,)),
    }
    for name, item in replacements.items():
        expected[f"{name}: read"] = item.read, (neurons, embed)
        expected[f"{name}: write"] = item.write, (neurons, embed)
    for name, (values, shape) in expected.items():
        if tuple(values.shape) != shape:
            raise ValueError(
                f"{name} has shape {list(values.shape)}, expected {list(shape)} for layer {lens.layer}: "
                "take it from a run of this model, layer and split"
            )
    taken = sorted(set(replacements) & set(FIXED))
    if taken:
        raise ValueError(f"replacements cannot be named {', '.join(taken)}: choose other names")
