"""Second-order attribution: neurons that write towards a class, and where in the picture they are active (Sec. 5.3)."""

from collections.abc import Mapping

import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor

from clipneuron.lens.attribution.methods import Choice
from clipneuron.lens.trace import Trace


def neuron_weights(
    products: Mapping[int, Float[Tensor, "class neuron"]],
    count: int,
    choice: Choice = "absolute",
    seed: int = 0,
) -> dict[int, Float[Tensor, "class neuron"]]:
    """The weight of every neuron of the chosen layers in the maps of each class, from <r_n, t>.

    Of all layers' neurons together, the `count` with the largest |<r_n, t>| count (the paper takes 200 of layers 8 to
    10); the others have weight 0.
      absolute  1 / count each, whatever the sign of <r_n, t>: the mean of their activations, as in the paper
      signed    sign(<r_n, t>) / count: neurons that write against the class count against the patch
      weighted  <r_n, t> / count
      random    1 / count for neurons drawn at random, others for each class: the control

    The neurons of `random` depend on `seed` and the number of classes. Raises ValueError without layers, and
    for a count that is not between 1 and the number of neurons.
    """
    if not products:
        raise ValueError("no layer was given, whose neurons could be chosen")
    flat = torch.cat(list(products.values()), dim=1)
    if not 1 <= count <= flat.shape[1]:
        raise ValueError(
            f"{count} neurons cannot be chosen of {flat.shape[1]}: choose between 1 and {flat.shape[1]}"
        )
    ranked = flat.abs()
    if choice == "random":
        generator = torch.Generator().manual_seed(seed)
        ranked = torch.rand(flat.shape, generator=generator).to(flat)
    chosen = ranked.topk(count, dim=1).indices
    values = {"signed": flat.sign(), "weighted": flat}.get(choice, torch.ones_like(flat))
    kept = torch.zeros_like(flat).scatter(1, chosen, values.gather(1, chosen) / count)
    sizes = [layer.shape[1] for layer in products.values()]
    return dict(zip(products, torch.split(kept, sizes, dim=1), strict=True))


def second_order(
    trace: Trace, neurons: Mapping[int, Float[Tensor, "image neuron"]]
) -> Float[Tensor, "image patch"]:
    """sum over layers l and neurons n of weight_n p_i^{l,n}(I): the neurons' mean activation map (Sec. 5.3)."""
    return torch.stack([_patches(trace, layer, kept) for layer, kept in neurons.items()]).sum(0)


def second_order_attended(
    trace: Trace, neurons: Mapping[int, Float[Tensor, "image neuron"]]
) -> Float[Tensor, "image patch"]:
    """The same with p_i^{l,n} times the mean over later heads of the class token's attention to the patch.

    sum over l, n of weight_n p_i^{l,n} mean_{l' > l, h} a_i^{l',h}: an activation counts as far as it is read, as in
    the coefficients of Eq. 11.
    """
    maps = []
    for layer, kept in neurons.items():
        later = [maps for index, maps in trace.attention.items() if index > layer]
        read = torch.cat(later, dim=1).mean(dim=1)[:, 1:]
        maps.append(_patches(trace, layer, kept) * read)
    return torch.stack(maps).sum(0)


def _patches(trace: Trace, layer: int, kept: Tensor) -> Float[Tensor, "image patch"]:
    activations = trace.activations[layer][:, 1:]
    return einsum(
        activations, kept.to(activations), "image patch neuron, image neuron -> image patch"
    )
