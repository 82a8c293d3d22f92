"""One forward pass through an open_clip image tower, and the trace it leaves."""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from types import FunctionType, MethodType
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.hooks import RemovableHandle

from clipneuron.lens.trace import LayerNormScale, Trace
from clipneuron.models.clip.towers import check_tower, tower_weights
from clipneuron.models.compilers import check_compiler

__all__ = [
    "CompiledCapture",
    "capture",
    "check_call",
    "check_tower",
    "class_token_attention",
    "layer_norm_scale",
    "tower_weights",
]


# no_grad, not inference_mode: inference tensors can never enter autograd or be changed in place later.
@torch.no_grad()
def capture(
    visual: Any,
    pixels: Float[Tensor, "image 3 height width"],
    layers: Sequence[int],
    first_order: bool = False,
    writes: bool = False,
) -> Trace:
    """The trace of one forward pass, up to rounding that of `visual(pixels)`.

    The last block is computed for the class token alone, since nothing else is read after it: a fifteenth of ViT-B-32's
    pass. Where its own activations are asked for, the pass is the model's, to the bit.

    It contains the activations of `layers` and, for every block after the first of them, the class
    token's attention and the statistics of ln_1. Activations are the forward pass's own tensors, not
    copies, in the model's type; attention and statistics are in float32 or better. `writes` also keeps
    what the MLPs of `layers` add to every token, for `SecondOrderLens.layer_effect`. A tower that is
    compiled (`visual.compile()`) runs as it is written.

    Memory per image, in bytes, for T tokens, N neurons, H heads, L blocks of width W and numbers of
    s bytes: s T N for every layer of `layers`, 4 T (H + 2) for every block after the first of them.
    In float32 that is 614 kB a layer for ViT-B-32 (6.8 MB for all but the last), 4.2 MB a layer for
    ViT-L-14 (97 MB for all but the last). `writes` adds s T W for every layer of `layers`, a quarter of
    its activations: 154 kB a layer for ViT-B-32, 1.1 MB for ViT-L-14. `first_order` adds s W (T + 1) and
    attention for every block: 1.9 MB for ViT-B-32, 25.4 MB for ViT-L-14.
    """
    check_call(visual, pixels, layers)
    notes = _Notes()
    plan = _plan(visual, frozenset(layers), first_order, writes, notes)
    with _hooks(plan), _shortened(visual, layers), _uncompiled(visual):
        output = visual(pixels)
    return notes.trace(output[0] if isinstance(output, tuple) else output)


class CompiledCapture:
    """`capture` of one choice of layers by torch's compiler: the same trace, up to rounding.

    Made once and called with batch after batch. The first call compiles the pass and what the hooks compute as a single
    graph, without breaks, which takes seconds to minutes; a batch of another size compiles it once more, for all sizes.
    Raises ValueError as `capture` does, and where there is no C++ compiler for the backend inductor.
    """

    def __init__(
        self,
        visual: Any,
        layers: Sequence[int],
        first_order: bool = False,
        writes: bool = False,
        backend: str = "inductor",
    ) -> None:
        check_tower(visual)
        if backend == "inductor":
            check_compiler()
        self._layers = tuple(layers)
        # A tower of its own on the same weights: the compiler sees hooks that are there before the first call and stay.
        shared = [*visual.parameters(), *visual.buffers()]
        self._visual = copy.deepcopy(visual, {id(tensor): tensor for tensor in shared})
        self._notes = _Notes()
        plan = _plan(self._visual, frozenset(layers), first_order, writes, self._notes)
        for module, hook in plan:
            module.register_forward_hook(hook)
        if _reads_class_token_alone(self._visual, layers):
            _shorten(self._visual)
        forward = _with_code_of_its_own(type(self._visual).forward)
        self._forward: Callable[[Tensor], Any] = torch.compile(
            MethodType(forward, self._visual), fullgraph=True, backend=backend
        )

    @torch.no_grad()
    def __call__(self, pixels: Float[Tensor, "image 3 height width"]) -> Trace:
        """The trace of one forward pass."""
        check_call(self._visual, pixels, self._layers)
        output = self._forward(pixels)
        trace = self._notes.trace(output[0] if isinstance(output, tuple) else output)
        vars(self._notes).update(vars(_Notes()))  # the trace alone keeps what it holds
        return trace


def _with_code_of_its_own(function: Any) -> FunctionType:
    """The compiler keeps what it has made by code and looks at no hooks: it would take one tower's for another's."""
    code = function.__code__.replace()
    return FunctionType(
        code, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )


def class_token_alone(block: Any, tokens: Tensor) -> Float[Tensor, "first second width"]:
    """The block's output at the class token, which still attends to all tokens; the token axis has size one."""
    here = (slice(None), slice(1)) if block.attn.batch_first else (slice(1),)
    normed = block.ln_1(tokens)
    attended = block.attention(normed[here], normed, normed)
    token = tokens[here] + block.ls_1(attended)
    output: Tensor = token + block.ls_2(block.mlp(block.ln_2(token)))
    return output


def class_token_attention(
    attention: nn.MultiheadAttention, tokens: Float[Tensor, "image token width"]
) -> Float[Tensor, "image head token"]:
    """a_i^{l,h}: the row of the attention matrix with which the class token reads, per head.

    The query is folded into the key weights, (W_k^T q_0) x_i, so that no key of any token is ever
    computed: T times fewer multiplications than the key projection. The key's bias adds the same
    q_0 b_k to all scores of a head, which softmax drops.

    In float32 or better throughout: a score of 10 rounded to bfloat16 would be off by 0.03, and with it the
    weight by 3 %.
    """
    heads, wide = attention.num_heads, _at_least_float32(tokens)
    tokens = tokens.to(wide)
    query_weight, key_weight, _ = attention.in_proj_weight.to(wide).chunk(3)
    query_bias = attention.in_proj_bias.to(wide).chunk(3)[0]
    query = functional.linear(tokens[:, 0], query_weight, query_bias)
    query = rearrange(query * attention.head_dim**-0.5, "i (h c) -> h i c", h=heads)
    folded = torch.bmm(query, rearrange(key_weight, "(h c) w -> h c w", h=heads))
    scores = torch.bmm(folded.transpose(0, 1), tokens.transpose(1, 2))
    return scores.softmax(dim=-1)


@dataclass
class _Notes:
    """What the hooks of one forward pass record; the fields are those of `Trace`."""

    activations: dict[int, Tensor] = field(default_factory=dict)
    attention: dict[int, Tensor] = field(default_factory=dict)
    ln_1: dict[int, LayerNormScale] = field(default_factory=dict)
    mlp_writes: dict[int, Tensor] = field(default_factory=dict)
    normalized: dict[int, Tensor] = field(default_factory=dict)
    mlp_outputs: dict[int, Tensor] = field(default_factory=dict)
    ln_post: list[LayerNormScale] = field(default_factory=list)
    stem: list[Tensor] = field(default_factory=list)

    def trace(self, embeddings: Tensor) -> Trace:
        return Trace(
            embeddings=embeddings,
            ln_post=self.ln_post[0],
            activations=self.activations,
            attention=self.attention,
            ln_1=self.ln_1,
            mlp_writes=self.mlp_writes,
            normalized=self.normalized,
            mlp_outputs=self.mlp_outputs,
            stem=self.stem[0] if self.stem else None,
        )


_Inputs = tuple[Tensor, ...]
Hook = Callable[[nn.Module, _Inputs, Tensor], None]


@contextmanager
def _hooks(plan: Iterable[tuple[nn.Module, Hook]]) -> Iterator[None]:
    """Attach the hooks that fill notes; they are removed afterwards, also after an exception."""
    handles: list[RemovableHandle] = []
    try:
        for module, hook in plan:
            handles.append(module.register_forward_hook(hook))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _reads_class_token_alone(visual: Any, layers: Sequence[int]) -> bool:
    """Whether a trace of these layers takes nothing of the last block but the class token's output."""
    return len(visual.transformer.resblocks) - 1 not in layers


@contextmanager
def _shortened(visual: Any, layers: Sequence[int]) -> Iterator[None]:
    """The last block, computed for no more tokens than the trace takes."""
    if not _reads_class_token_alone(visual, layers):
        yield
        return
    _shorten(visual)
    try:
        yield
    finally:
        del visual.transformer.resblocks[-1].forward


def _shorten(visual: Any) -> None:
    last = visual.transformer.resblocks[-1]
    last.forward = MethodType(_forward_of_class_token, last)


def _forward_of_class_token(
    block: Any,
    tokens: Tensor,
    keys: None = None,
    values: None = None,
    attn_mask: None = None,
) -> Float[Tensor, "first second width"]:
    """With the signature of a block's own; image towers have no mask, and no other keys and values."""
    return class_token_alone(block, tokens)


def _uncompiled(visual: nn.Module) -> AbstractContextManager[object]:
    """torch.compile passes over hooks that a module gets after its first call: the pass runs as it is written."""
    compiled = any(module._compiled_call_impl is not None for module in visual.modules())
    return torch.compiler.set_stance("force_eager") if compiled else nullcontext()


def _plan(
    visual: Any, layers: frozenset[int], first_order: bool, writes: bool, notes: _Notes
) -> Iterator[tuple[nn.Module, Hook]]:
    """Which module gets which hook."""
    batch_first = visual.transformer.batch_first
    first = min(layers, default=len(visual.transformer.resblocks))
    for layer, block in enumerate(visual.transformer.resblocks):
        place = (notes, layer, batch_first)
        if layer in layers:
            yield block.mlp.gelu, partial(_note_activations, *place)
            if writes:
                yield block.ls_2, partial(_note_mlp_writes, *place)
        if layer > first:
            yield block.ln_1, partial(_note_statistics, *place)
        if layer > first or first_order:
            yield block.ln_1, partial(_note_attention, *place, block.attn)
        if first_order:
            yield block.ln_1, partial(_note_normalized, *place)
            yield block.ls_2, partial(_note_mlp_output, *place)
    yield visual.ln_post, partial(_note_ln_post, notes)


# Functions of a module, not of a call: tests have the signatures of all functions checked, for which each function
# that a call makes would be compiled anew.


def _note_activations(
    notes: _Notes, layer: int, batch_first: bool, module: nn.Module, inputs: _Inputs, output: Tensor
) -> None:
    notes.activations[layer] = _image_first(output, batch_first)


def _note_mlp_writes(
    notes: _Notes, layer: int, batch_first: bool, module: nn.Module, inputs: _Inputs, output: Tensor
) -> None:
    notes.mlp_writes[layer] = _image_first(output, batch_first)


def _note_statistics(
    notes: _Notes, layer: int, batch_first: bool, module: nn.Module, inputs: _Inputs, output: Tensor
) -> None:
    notes.ln_1[layer] = layer_norm_scale(module, _image_first(inputs[0], batch_first))


def _note_attention(
    notes: _Notes,
    layer: int,
    batch_first: bool,
    attention: nn.MultiheadAttention,
    module: nn.Module,
    inputs: _Inputs,
    output: Tensor,
) -> None:
    tokens = _image_first(output, batch_first)
    notes.attention[layer] = class_token_attention(attention, tokens)


def _note_normalized(
    notes: _Notes, layer: int, batch_first: bool, module: nn.Module, inputs: _Inputs, output: Tensor
) -> None:
    notes.normalized[layer] = _image_first(output, batch_first)
    if layer == 0:
        notes.stem.append(_class_token(inputs[0], batch_first))


def _note_mlp_output(
    notes: _Notes, layer: int, batch_first: bool, module: nn.Module, inputs: _Inputs, output: Tensor
) -> None:
    notes.mlp_outputs[layer] = _class_token(output, batch_first)


def _note_ln_post(notes: _Notes, module: nn.Module, inputs: _Inputs, output: Tensor) -> None:
    # [image, width] when the tower pools first, [image, token, width] otherwise
    tokens = inputs[0]
    notes.ln_post.append(layer_norm_scale(module, tokens if tokens.ndim == 2 else tokens[:, 0]))


def layer_norm_scale(norm: Any, tokens: Float[Tensor, "*tokens width"]) -> LayerNormScale:
    """The statistics with which a layer norm normalises these vectors, in float32 or better."""
    # the kernel behind layer_norm returns its statistics: on a CPU seven times faster than var_mean
    _, mean, inverse = torch.native_layer_norm(
        tokens.to(_at_least_float32(tokens)), norm.normalized_shape, None, None, norm.eps
    )
    return LayerNormScale(mean=mean.squeeze(-1), sigma=inverse.squeeze(-1).reciprocal())


def _at_least_float32(tensor: Tensor) -> torch.dtype:
    return torch.promote_types(tensor.dtype, torch.float32)


def _image_first(tokens: Tensor, batch_first: bool) -> Float[Tensor, "image token width"]:
    return tokens if batch_first else tokens.transpose(0, 1)


def _class_token(tokens: Tensor, batch_first: bool) -> Float[Tensor, "image width"]:
    # copied, because a view would keep every token's row alive
    return _image_first(tokens, batch_first)[:, 0].clone()


def check_call(visual: Any, pixels: Tensor, layers: Sequence[int]) -> None:
    """Raise ValueError for foreign towers, training mode, empty batches and layers that do not exist."""
    check_tower(visual)
    if not len(pixels):
        raise ValueError("no images: open_clip's towers cannot run on an empty batch; skip it")
    if visual.training:
        raise ValueError("the tower is in training mode, which drops patches: call .eval() first")
    blocks = len(visual.transformer.resblocks)
    wrong = [layer for layer in layers if not 0 <= layer < blocks]
    if wrong:
        raise ValueError(
            f"layers {wrong} do not exist: this tower has layers 0 to {blocks - 1} (0-based)"
        )
