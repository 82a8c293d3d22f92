"""The blocks of an image tower, changed before a training: some that write nothing yet, fewer neurons in each."""

import copy
from typing import Any

import torch
from torch import Tensor, nn


def insert_silent(tower: Any, count: int, after: int) -> None:
    """Put copies of a block behind it that write nothing yet."""
    blocks = list(tower.transformer.resblocks)
    copies = [copy.deepcopy(blocks[after]) for _ in range(count)]
    for block in copies:
        silence(block.attn.out_proj)
        silence(block.mlp.c_proj)
    tower.transformer.resblocks = nn.ModuleList(
        [*blocks[: after + 1], *copies, *blocks[after + 1 :]]
    )


@torch.no_grad()
def keep_neurons(tower: Any, count: int, images: Tensor) -> None:
    """Keep the neurons of each block that write most on the images; the others' mean goes into the bias.

    How much a neuron writes: the variance of its activation over images and tokens, times its squared output weights.
    """
    seen: dict[int, Tensor] = {}
    hooks = [
        block.mlp.c_proj.register_forward_pre_hook(
            lambda _, inputs, place=place: seen.update({place: inputs[0].flatten(0, -2)})
        )
        for place, block in enumerate(tower.transformer.resblocks)
    ]
    tower(images)
    for hook in hooks:
        hook.remove()
    for place, block in enumerate(tower.transformer.resblocks):
        _prune(block.mlp, seen[place], count)


def _prune(mlp: Any, activations: Tensor, count: int) -> None:
    read, write = mlp.c_fc, mlp.c_proj
    order = (activations.var(0) * write.weight.square().sum(0)).argsort(descending=True)
    kept, gone = order[:count].sort().values, order[count:]
    bias = write.bias + write.weight[:, gone] @ activations.mean(0)[gone]
    mlp.c_fc = _linear(read.weight[kept], read.bias[kept])
    mlp.c_proj = _linear(write.weight[:, kept], bias)


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight.copy_(weight)
    layer.bias.copy_(bias)
    return layer


@torch.no_grad()
def silence(layer: nn.Linear) -> None:
    """Make a layer write nothing; it can learn to."""
    layer.weight.zero_()
    layer.bias.zero_()
