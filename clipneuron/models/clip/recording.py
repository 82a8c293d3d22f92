"""A forward pass written out block by block, so that attention matrices and their gradients are there to be kept.

`clipneuron.models.clip.capture.capture` leaves the model's own blocks as they are; torch's attention never shows its
matrices in those. Here every block computes the same in plain products, equal up to rounding.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from torch.nn.functional import normalize

from clipneuron.lens.attribution.maps import Gradients
from clipneuron.lens.attribution.records import BlockLinears, BlockRecord, Linear, Record, Stem
from clipneuron.lens.trace import Trace
from clipneuron.models.clip.capture import layer_norm_scale
from clipneuron.models.clip.towers import folded


@dataclass(frozen=True)
class Wanted:
    """What a pass is to keep.

    activations: of these layers' neurons.
    first_order: what `clipneuron.lens.first_order` needs of a trace.
    attention: matrices of these layers.
    score, local: layers by whose attention the score, and the block's own score (LeGrad), are differentiated.
    blocks: everything of the blocks from this one on, for relevance; the stem, too, if it is 0.
    values: patches by the value path of the last block.
    """

    activations: frozenset[int] = frozenset()
    first_order: bool = False
    attention: frozenset[int] = frozenset()
    score: frozenset[int] = frozenset()
    local: frozenset[int] = frozenset()
    blocks: int | None = None
    values: bool = False

    @property
    def differentiated(self) -> frozenset[int]:
        """Layers whose attention has gradients."""
        return self.score | self.local


def recorded(
    visual: Any,
    pixels: Float[Tensor, "image 3 height width"],
    directions: Float[Tensor, "image embed"],
    wanted: Wanted,
) -> tuple[Record, Gradients]:
    """One forward pass, and the gradients of each picture's score <direction, M_image / |M_image|>.

    Blocks below the first differentiated one have no graph. The last block is computed for the class token alone unless
    its own score is wanted.
    """
    blocks = visual.transformer.resblocks
    stem = _stem(visual, pixels)
    tokens: Tensor = visual.ln_pre(stem.embedded + stem.positions)
    notes = _Notes(wanted)
    first = min(wanted.differentiated, default=len(blocks))
    for layer, block in enumerate(blocks):
        with torch.set_grad_enabled(layer >= first):
            tokens = tokens.detach().requires_grad_() if layer == first else tokens
            alone = layer == len(blocks) - 1 and layer not in wanted.local
            step = _block(block, tokens, 1 if alone else tokens.shape[1])
        notes.take(layer, step)
        tokens = step.leaving
    with torch.set_grad_enabled(first < len(blocks)):
        normed = visual.ln_post(tokens[:, 0])
        embeddings = _projected(visual, normed)
        gradients = _gradients(visual, notes, embeddings, directions)
    values = _values(visual, blocks[-1], step) if wanted.values else None
    trace = notes.trace(embeddings, layer_norm_scale(visual.ln_post, tokens[:, 0].detach()))
    kept = stem if wanted.blocks == 0 else None
    return Record(trace, notes.matrices, notes.blocks, kept, normed.detach(), values), gradients


def block_linears(block: Any) -> BlockLinears:
    """The linear layers of one block, with LayerScale folded in; views wherever nothing has to be folded."""
    weight, bias = block.attn.in_proj_weight.detach().T, block.attn.in_proj_bias.detach()
    width = len(weight)
    up = block.mlp.c_fc
    return BlockLinears(
        query=Linear(weight[:, :width], bias[:width]),
        key_value=Linear(weight[:, width:], bias[width:]),
        output=Linear(*folded(block.attn.out_proj, block.ls_1)),
        up=Linear(up.weight.detach().T, up.bias.detach()),
        down=Linear(*folded(block.mlp.c_proj, block.ls_2)),
    )


@dataclass
class _Notes:
    """What the blocks leave behind, as far as it is wanted."""

    wanted: Wanted
    activations: dict[int, Tensor] = field(default_factory=dict)
    attention: dict[int, Tensor] = field(default_factory=dict)
    normalized: dict[int, Tensor] = field(default_factory=dict)
    mlp_outputs: dict[int, Tensor] = field(default_factory=dict)
    stem: Tensor | None = None
    matrices: dict[int, Tensor] = field(default_factory=dict)
    outputs: dict[int, Tensor] = field(default_factory=dict)
    blocks: dict[int, BlockRecord] = field(default_factory=dict)

    def take(self, layer: int, step: BlockRecord) -> None:
        wanted = self.wanted
        # the class token's rows are copied, because a view would keep every token's alive
        self.attention[layer] = step.attention[:, :, 0].detach().clone()
        if layer in wanted.activations:
            self.activations[layer] = step.activations.detach()
        if wanted.first_order:
            self.normalized[layer] = step.normed_1.detach()
            self.mlp_outputs[layer] = step.written[:, 0].detach().clone()
        if layer == 0:
            self.stem = step.entering[:, 0].detach().clone()
        if layer in wanted.attention | wanted.differentiated:
            self.matrices[layer] = step.attention
        if layer in wanted.local:
            self.outputs[layer] = step.leaving
        if wanted.blocks is not None and layer >= wanted.blocks:
            self.blocks[layer] = step

    def trace(self, embeddings: Tensor, ln_post: Any) -> Trace:
        return Trace(
            embeddings=embeddings.detach(),
            ln_post=ln_post,
            activations=self.activations,
            attention=self.attention,
            normalized=self.normalized,
            mlp_outputs=self.mlp_outputs,
            stem=self.stem,
        )


def _stem(visual: Any, pixels: Float[Tensor, "image 3 height width"]) -> Stem:
    patches = rearrange(visual.conv1(pixels), "i w ... -> i (...) w")
    first = visual.class_embedding.to(patches).expand(len(patches), 1, -1)
    return Stem(torch.cat([first, patches], dim=1), visual.positional_embedding.to(patches))


def _block(block: Any, entering: Float[Tensor, "image token width"], queries: int) -> BlockRecord:
    """One residual block, for the first `queries` tokens."""
    attention, width = block.attn, entering.shape[-1]
    weight, bias = attention.in_proj_weight, attention.in_proj_bias
    normed_1 = block.ln_1(entering)
    query = functional.linear(normed_1[:, :queries], weight[:width], bias[:width])
    read = functional.linear(normed_1, weight[width:], bias[width:])
    query, key, value = (
        rearrange(part, "i t (h c) -> i h t c", h=attention.num_heads)
        for part in (query, *read.chunk(2, dim=-1))
    )
    maps = ((query * query.shape[-1] ** -0.5) @ key.mT).softmax(dim=-1)
    mixed = rearrange(maps @ value, "i h t c -> i t (h c)")
    attended = block.ls_1(attention.out_proj(mixed))
    middle = entering[:, :queries] + attended
    normed_2 = block.ln_2(middle)
    hidden = block.mlp.c_fc(normed_2)
    activations = block.mlp.gelu(hidden)
    written = block.ls_2(block.mlp.c_proj(activations))
    return BlockRecord(
        entering=entering,
        normed_1=normed_1,
        query=query,
        key=key,
        value=value,
        attention=maps,
        mixed=mixed,
        attended=attended,
        middle=middle,
        normed_2=normed_2,
        hidden=hidden,
        activations=activations,
        written=written,
        leaving=middle + written,
    )


def _projected(visual: Any, normed: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows embed"]:
    found: Tensor = normed if visual.proj is None else normed @ visual.proj
    return found


def _gradients(
    visual: Any, notes: _Notes, embeddings: Tensor, directions: Float[Tensor, "image embed"]
) -> Gradients:
    """All gradients that are wanted: pictures do not meet, so that the sum over them has each one's own."""
    wanted, maps = notes.wanted, notes.matrices
    local = {}
    for layer in sorted(wanted.local):
        pooled = _projected(visual, visual.ln_post(notes.outputs[layer].mean(dim=1)))
        score = (normalize(pooled, dim=-1) * directions).sum()
        [local[layer]] = torch.autograd.grad(score, [maps[layer]], retain_graph=True)
    layers = sorted(wanted.score)
    if not layers:
        return Gradients({}, local)
    score = (normalize(embeddings, dim=-1) * directions).sum()
    found = torch.autograd.grad(score, [maps[layer] for layer in layers])
    return Gradients(dict(zip(layers, found, strict=True)), local)


def _values(visual: Any, block: Any, step: BlockRecord) -> Float[Tensor, "image patch embed"]:
    """The image embeddings of patches that attend to themselves alone in the last block."""
    value = rearrange(step.value, "i h t c -> i t (h c)")[:, 1:]
    middle = step.entering[:, 1:] + block.ls_1(block.attn.out_proj(value))
    leaving = middle + block.ls_2(block.mlp(block.ln_2(middle)))
    return _projected(visual, visual.ln_post(leaving))
