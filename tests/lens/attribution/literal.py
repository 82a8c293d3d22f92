"""Attribution as its formulas are printed: one picture, one head, one output at a time. The oracles of these tests.

The forward pass is written out without hooks, any layer's attention may be replaced in it, and relevance is shared by
explicit tables of contributions. Use float64 and towers of a few tokens.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Maps = Callable[[int, Tensor], Tensor]
"""Layer and its attention matrices [head, token, token] -> the ones that are used instead."""


@dataclass
class Block:
    """What one block computes for one picture."""

    entering: Tensor
    normed_1: Tensor
    heads: list[tuple[Tensor, Tensor, Tensor, Tensor]]
    """Of each head: query, key, value, attention."""
    mixed: Tensor
    attended: Tensor
    middle: Tensor
    normed_2: Tensor
    activations: Tensor
    written: Tensor


def scale_of(module: Any) -> Tensor | float:
    return getattr(module, "gamma", 1.0)


def forward(tower: Any, picture: Tensor, maps: Maps = lambda layer, own: own) -> list[Block]:
    tokens = tower._embeds(picture[None])[0]
    blocks = []
    for layer, block in enumerate(tower.transformer.resblocks):
        normed = block.ln_1(tokens)
        width, count = normed.shape[1], block.attn.num_heads
        size = width // count
        projected = normed @ block.attn.in_proj_weight.T + block.attn.in_proj_bias
        parts = [
            [projected[:, start + head * size : start + (head + 1) * size] for head in range(count)]
            for start in (0, width, 2 * width)
        ]
        own = torch.stack(
            [
                (query @ key.T / math.sqrt(size)).softmax(1)
                for query, key in zip(*parts[:2], strict=True)
            ]
        )
        used = maps(layer, own)
        mixed = torch.cat([used[head] @ parts[2][head] for head in range(count)], dim=1)
        written = mixed @ block.attn.out_proj.weight.T + block.attn.out_proj.bias
        attended = scale_of(block.ls_1) * written
        middle = tokens + attended
        normed_2 = block.ln_2(middle)
        activations = block.mlp.gelu(block.mlp.c_fc(normed_2))
        added = scale_of(block.ls_2) * block.mlp.c_proj(activations)
        heads = [(*(part[head] for part in parts), used[head]) for head in range(count)]
        blocks.append(
            Block(tokens, normed, heads, mixed, attended, middle, normed_2, activations, added)
        )
        tokens = middle + added
    return blocks


def leaving(block: Block) -> Tensor:
    return block.middle + block.written


def score(tower: Any, residual: Tensor, direction: Tensor) -> Tensor:
    """The cosine of a text with what ln_post and P make of a vector of the residual stream."""
    embedding = tower.ln_post(residual) @ tower.proj
    return embedding @ direction / embedding.norm()


def slopes(
    tower: Any, picture: Tensor, layer: int, objective: Callable[[list[Block]], Tensor]
) -> Tensor:
    """The gradient of an objective by one layer's attention, whose later layers follow [head, token, token]."""
    own = torch.stack([head[3] for head in forward(tower, picture)[layer].heads]).detach()
    leaf = own.requires_grad_()
    found = objective(forward(tower, picture, lambda at, maps: leaf if at == layer else maps))
    return torch.autograd.grad(found, leaf)[0]


def positive(inputs: Tensor, weight: Tensor, given: Tensor) -> Tensor:
    """The z+ rule with weights [output, input]: a table of what each input adds to each output, row by row."""
    found = torch.zeros_like(inputs)
    for row, vector in enumerate(inputs):
        for output, column in enumerate(weight):
            table = (vector * column).clamp(min=0)
            if table.sum() > 0:
                found[row] += table / table.sum() * given[row, output]
    return found


def product(left: Tensor, right: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
    """Of left @ right: what each pair of factors adds to each entry, half of it to either."""
    ours, theirs = torch.zeros_like(left), torch.zeros_like(right)
    for row in range(left.shape[0]):
        for column in range(right.shape[1]):
            table = left[row] * right[:, column]
            shared = table / table.sum() * given[row, column] / 2
            ours[row] += shared
            theirs[:, column] += shared
    return ours, theirs


def summed(first: Tensor, second: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
    """Of first + second: the z rule, rescaled to shares of the whole in proportion to absolute sums."""
    parts = [first / (first + second) * given, second / (first + second) * given]
    sums = [part.sum() for part in parts]
    whole = sums[0].abs() + sums[1].abs()
    one, two = (
        part * own.abs() / whole * given.sum() / own for part, own in zip(parts, sums, strict=True)
    )
    return one, two


@dataclass
class Handed:
    """Relevance of one picture: layer -> of attention [head, token, token]; of entering tokens; of patches."""

    attention: dict[int, Tensor]
    entering: dict[int, Tensor]
    patches: Tensor


def handed(tower: Any, picture: Tensor, direction: Tensor) -> Handed:
    blocks = forward(tower, picture)
    last = leaving(blocks[-1])
    given = torch.zeros_like(last)
    normed = tower.ln_post(last[:1])
    given[:1] = positive(normed, (tower.proj @ direction)[None], torch.ones_like(normed[:, :1]))
    attention, entering = {}, {}
    for layer in range(len(blocks) - 1, -1, -1):
        module, block = tower.transformer.resblocks[layer], blocks[layer]
        attention[layer], given = _block(module, block, given)
        entering[layer] = given
    positions = tower.positional_embedding
    patches = tower.conv1(picture[None]).flatten(2)[0].T
    embedded = torch.cat([tower.class_embedding[None], patches])
    share, _ = summed(embedded, positions, given)
    return Handed(attention, entering, share[1:].sum(1))


def _block(module: Any, block: Block, given: Tensor) -> tuple[Tensor, Tensor]:
    gamma = scale_of(module.ls_2)
    middle, written = summed(block.middle, block.written, given)
    down = (gamma * module.mlp.c_proj.weight.T).T
    active = positive(block.activations, down, written)
    middle = middle + positive(block.normed_2, module.mlp.c_fc.weight, active)
    entering, attended = summed(block.entering, block.attended, middle)
    output = (scale_of(module.ls_1) * module.attn.out_proj.weight.T).T
    mixed = positive(block.mixed, output, attended)
    size = mixed.shape[1] // len(block.heads)
    asked, answered, read, maps = [], [], [], []
    for head, (query, key, value, used) in enumerate(block.heads):
        mine = mixed[:, head * size : (head + 1) * size]
        attention, values = product(used, value, mine)
        left, right = product(query, key.T, attention)
        maps.append(attention)
        asked.append(left)
        answered.append(right.T)
        read.append(values)
    three = torch.cat([*asked, *answered, *read], dim=1)
    entering = entering + positive(block.normed_1, module.attn.in_proj_weight, three)
    return torch.stack(maps), entering
