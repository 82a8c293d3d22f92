"""Forward passes halted after a block and resumed with another residual stream.

`clipneuron.lens.indirect` uses them and edits neurons in between.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clipneuron.lens.indirect import Halt
from clipneuron.lens.trace import Trace
from clipneuron.models.clip.capture import capture, class_token_alone
from clipneuron.models.clip.towers import check_tower


def halted(
    visual: Any, pixels: Float[Tensor, "image 3 height width"], layers: Sequence[int]
) -> tuple[Trace, dict[int, Halt]]:
    """One forward pass: its trace, and its state after each of the blocks `layers`.

    Kept per image and layer: tokens * (neurons + width) numbers of the model's type. Raises ValueError as `capture`
    does: for foreign towers, training mode, empty batches and layers that do not exist.
    """
    check_tower(visual)
    residuals: dict[int, Tensor] = {}
    blocks = enumerate(visual.transformer.resblocks)
    handles = [
        block.register_forward_hook(partial(_note, residuals, layer, visual))
        for layer, block in blocks
        if layer in layers
    ]
    try:
        trace = capture(visual, pixels, layers)
    finally:
        for handle in handles:
            handle.remove()
    found = {
        layer: Halt(layer, trace.embeddings, residuals[layer], trace.activations[layer])
        for layer in layers
    }
    return trace, found


@torch.no_grad()
def resume(
    visual: Any, layer: int, residual: Float[Tensor, "stream token width"]
) -> Float[Tensor, "stream embed"]:
    """M_image of a forward pass that leaves block `layer` with this residual stream.

    Blocks after `layer` are computed, the last of them for the class token alone, since nothing else is read after it.
    """
    later = visual.transformer.resblocks[layer + 1 :]
    tokens = _as_model(visual, residual)
    for block in later[:-1]:
        tokens = block(tokens)
    if len(later):
        tokens = class_token_alone(later[-1], tokens)
    output = visual.ln_post(_as_model(visual, tokens)[:, 0])
    embeddings: Tensor = output if visual.proj is None else output @ visual.proj
    return embeddings


def resume_flops(visual: Any, layer: int) -> int:
    """Floating-point operations of the matrix products of `resume` for one residual stream; a multiply-add is two.

    For ViT-B-32's layer 9: 0.85 GFLOP per image and neuron, a tenth of a forward pass.
    """
    later = len(visual.transformer.resblocks) - 1 - layer
    tokens, width = visual.positional_embedding.shape
    hidden = visual.transformer.resblocks[0].mlp.c_fc.out_features
    block = 2 * tokens * width * (4 * width + 2 * hidden) + 4 * tokens**2 * width
    last = 4 * tokens * width * (width + 1) + 4 * width * (width + hidden)
    projection = 0 if visual.proj is None else 2 * visual.proj.numel()
    return (later - 1) * block + last + projection if later else projection


def _note(
    residuals: dict[int, Tensor],
    layer: int,
    visual: Any,
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    output: Tensor,
) -> None:
    residuals[layer] = _as_model(visual, output)


def _as_model(visual: Any, tokens: Tensor) -> Tensor:
    """Converts between image-first order and the order of the model's blocks; its own inverse."""
    return tokens if visual.transformer.batch_first else tokens.transpose(0, 1)
