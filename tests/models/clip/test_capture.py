import pytest
import torch

from clipneuron.models.clip.capture import capture, class_token_attention, tower_weights
from tests.samples.towers import random_pixels, tiny_tower

TOWERS = {
    "quick_gelu": {},
    "gelu": {"quick_gelu": False},
    "no_ln_pre": {"no_ln_pre": True, "eps": 1e-6},
    "layer_scale": {"ls_init_value": 0.3},
    "final_ln_after_pool": {"final_ln_after_pool": True},
    "token_first": {"batch_first": False},
    "token_first_layer_scale": {"batch_first": False, "ls_init_value": 0.3},
    "output_tokens": {"output_tokens": True},
    "patch_dropout": {"patch_dropout": 0.5},
    "rectangle": {"image_size": (16, 40)},
    "float32": {"dtype": torch.float32},
}


@pytest.fixture(params=TOWERS)
def tower(request):
    return tiny_tower(**TOWERS[request.param])


def embed(tower, pixels):
    with torch.no_grad():
        output = tower(pixels)
    return output[0] if isinstance(output, tuple) else output


def hooks(tower):
    """Everything that changes what the tower's modules do when they are called."""
    return [
        hook
        for module in tower.modules()
        for hook in (
            *module._forward_hooks.values(),
            *module._forward_pre_hooks.values(),
            *([module.forward] if "forward" in vars(module) else ()),
        )
    ]


def tolerance(tower):
    return (
        {"atol": 1e-12, "rtol": 1e-10}
        if tower.proj.dtype == torch.float64
        else {"atol": 1e-5, "rtol": 1e-5}
    )


def residual_stream(tower, pixels):
    """What enters each block, image first, and what leaves the last, by forward hooks of our own."""
    streams = []
    image_first = (lambda x: x) if tower.transformer.batch_first else (lambda x: x.transpose(0, 1))
    handles = [
        block.register_forward_pre_hook(
            lambda module, inputs: streams.append(image_first(inputs[0]))
        )
        for block in tower.transformer.resblocks
    ]
    handles.append(
        tower.transformer.register_forward_hook(
            lambda module, inputs, output: streams.append(output)
        )
    )
    embed(tower, pixels)
    for handle in handles:
        handle.remove()
    return streams


@pytest.mark.parametrize("writes", [False, True])
@pytest.mark.parametrize(
    ("layers", "first_order"), [([0, 1, 2], False), ([1], True), ([], False), ([2], True)]
)
def test_the_output_is_the_models_own(tower, layers, first_order, writes):
    pixels = random_pixels(tower)
    before = embed(tower, pixels)
    trace = capture(tower, pixels, layers, first_order, writes)
    torch.testing.assert_close(trace.embeddings, before, **tolerance(tower))
    assert torch.equal(embed(tower, pixels), before)


def test_with_the_last_blocks_neurons_the_output_is_unchanged_bit_for_bit(tower):
    pixels = random_pixels(tower)
    before = embed(tower, pixels)
    for layers, first_order in [([3], True), ([0, 1, 2, 3], False)]:
        for writes in (False, True):
            trace = capture(tower, pixels, layers, first_order, writes)
            assert torch.equal(trace.embeddings, before)


def test_the_last_block_is_computed_for_the_class_token_alone(tower):
    pixels, seen = random_pixels(tower), []
    last = tower.transformer.resblocks[-1]
    handle = last.mlp.c_fc.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    capture(tower, pixels, [0])
    capture(tower, pixels, [3])
    handle.remove()
    alone, whole = (tokens.shape[:2].numel() for tokens in seen)
    assert (alone, whole) == (len(pixels), len(pixels) * len(tower.positional_embedding))


def test_attention_is_torchs_own(tower):
    pixels = random_pixels(tower)
    trace = capture(tower, pixels, [0], first_order=True)
    for layer, block in enumerate(tower.transformer.resblocks):
        tokens = trace.normalized[layer]
        order = tokens if block.attn.batch_first else tokens.transpose(0, 1)
        with torch.no_grad():
            _, weights = block.attn(
                order, order, order, need_weights=True, average_attn_weights=False
            )
        torch.testing.assert_close(trace.attention[layer], weights[:, :, 0], **tolerance(tower))


def test_statistics_reproduce_every_layer_norm(tower):
    pixels = random_pixels(tower)
    trace = capture(tower, pixels, [0], first_order=True)
    streams = residual_stream(tower, pixels)
    for layer in range(1, 4):
        norm, scale = tower.transformer.resblocks[layer].ln_1, trace.ln_1[layer]
        units = (streams[layer] - scale.mean[..., None]) / scale.sigma[..., None]
        expected = trace.normalized[layer]
        torch.testing.assert_close(units * norm.weight + norm.bias, expected, **tolerance(tower))
    last = streams[-1][:, 0]
    units = (last - trace.ln_post.mean[:, None]) / trace.ln_post.sigma[:, None]
    output = (units * tower.ln_post.weight + tower.ln_post.bias) @ tower.proj
    torch.testing.assert_close(output, trace.embeddings, **tolerance(tower))


def test_sigma_is_the_root_of_the_biased_variance_and_eps():
    tower = tiny_tower(eps=0.5)
    pixels = random_pixels(tower)
    trace = capture(tower, pixels, [1])
    stream = residual_stream(tower, pixels)[2]
    expected = (stream.var(dim=-1, correction=0) + 0.5).sqrt()
    torch.testing.assert_close(trace.ln_1[2].sigma, expected)
    torch.testing.assert_close(trace.ln_1[2].mean, stream.mean(dim=-1))


def test_trace_and_weights_rebuild_every_block_at_the_class_token(tower):
    """x + heads(ln_1 x) + mlp: what is captured and what is folded must add up to the model."""
    pixels = random_pixels(tower)
    trace = capture(tower, pixels, range(4), first_order=True, writes=True)
    weights = tower_weights(tower)
    class_token = trace.stem
    streams = residual_stream(tower, pixels)
    torch.testing.assert_close(class_token, streams[0][:, 0])
    for layer, block in enumerate(weights.blocks):
        values = torch.einsum("itw,hcw->ithc", trace.normalized[layer], block.value)
        values = values + block.value_bias
        heads = torch.einsum("iht,ithc,hcw->iw", trace.attention[layer], values, block.output)
        mlp = trace.activations[layer][:, 0] @ block.neuron_writes + block.neuron_bias
        torch.testing.assert_close(mlp, trace.mlp_outputs[layer], **tolerance(tower))
        assert torch.equal(trace.mlp_writes[layer][:, 0], trace.mlp_outputs[layer])
        class_token = class_token + heads + block.output_bias + mlp
        torch.testing.assert_close(class_token, streams[layer + 1][:, 0], **tolerance(tower))


def test_activations_are_what_the_mlp_reads(tower):
    pixels = random_pixels(tower)
    trace = capture(tower, pixels, [2])
    streams = residual_stream(tower, pixels)
    block = tower.transformer.resblocks[2]
    tokens = streams[2]
    order = tokens if tower.transformer.batch_first else tokens.transpose(0, 1)
    with torch.no_grad():
        normed = block.ln_1(order)
        attended = order + block.ls_1(block.attn(normed, normed, normed, need_weights=False)[0])
        expected = block.mlp.gelu(block.mlp.c_fc(block.ln_2(attended)))
    expected = expected if tower.transformer.batch_first else expected.transpose(0, 1)
    torch.testing.assert_close(trace.activations[2], expected, **tolerance(tower))


@pytest.mark.parametrize(
    ("layers", "later"), [([0, 1, 2], [1, 2, 3]), ([2], [3]), ([2, 1], [2, 3]), ([3], []), ([], [])]
)
def test_only_what_the_asked_layers_need_is_kept(layers, later):
    tower = tiny_tower()
    trace = capture(tower, random_pixels(tower), layers)
    assert set(trace.activations) == set(layers)
    assert sorted(trace.attention) == sorted(trace.ln_1) == later
    assert not trace.mlp_writes
    assert not trace.normalized
    assert not trace.mlp_outputs
    assert trace.stem is None


def test_first_order_keeps_every_layer():
    tower = tiny_tower()
    trace = capture(tower, random_pixels(tower), [2], first_order=True)
    assert (
        list(trace.attention) == list(trace.normalized) == list(trace.mlp_outputs) == [0, 1, 2, 3]
    )
    assert list(trace.activations) == [2]
    assert list(trace.ln_1) == [3]


def test_writes_are_what_activations_and_folded_weights_make(tower):
    trace = capture(tower, random_pixels(tower), [2, 1], writes=True)
    assert set(trace.mlp_writes) == {1, 2}
    for layer, written in trace.mlp_writes.items():
        block = tower_weights(tower).blocks[layer]
        expected = trace.activations[layer] @ block.neuron_writes + block.neuron_bias
        torch.testing.assert_close(written, expected, **tolerance(tower))


def test_activations_are_the_forward_passes_own_tensors():
    tower = tiny_tower()
    seen = {}
    gelu = tower.transformer.resblocks[1].mlp.gelu
    handle = gelu.register_forward_hook(lambda module, inputs, output: seen.update(output=output))
    trace = capture(tower, random_pixels(tower), [1])
    handle.remove()
    assert trace.activations[1].data_ptr() == seen["output"].data_ptr()


def test_memory_is_what_the_docstring_says():
    tower = tiny_tower(dtype=torch.float32)
    trace = capture(tower, random_pixels(tower, 1), [1, 2], first_order=False)
    tokens, neurons, heads = 17, 128, 4
    activations = sum(value.nbytes for value in trace.activations.values())
    rest = sum(value.nbytes for value in trace.attention.values())
    rest += sum(scale.mean.nbytes + scale.sigma.nbytes for scale in trace.ln_1.values())
    assert activations == 2 * 4 * tokens * neurons
    assert rest == 2 * 4 * tokens * (heads + 2)
    written = capture(tower, random_pixels(tower, 1), [1, 2], writes=True).mlp_writes
    assert sum(value.untyped_storage().nbytes() for value in written.values()) == activations / 4
    more = capture(tower, random_pixels(tower, 1), [1, 2], first_order=True)
    kept = (*more.normalized.values(), *more.mlp_outputs.values())
    assert sum(value.untyped_storage().nbytes() for value in kept) == 4 * 4 * 32 * (tokens + 1)


def test_hooks_are_gone_afterwards(tower):
    capture(tower, random_pixels(tower), [0, 1], first_order=True)
    assert not hooks(tower)


def test_hooks_are_gone_after_an_exception():
    tower = tiny_tower()
    with pytest.raises(RuntimeError):
        capture(tower, torch.zeros(1, 3, 16, 16, dtype=torch.float64), [0], first_order=True)
    assert not hooks(tower)


def test_hooks_of_others_are_left_alone():
    tower = tiny_tower()
    tower.ln_post.register_forward_hook(lambda module, inputs, output: None)
    capture(tower, random_pixels(tower), [0])
    assert len(hooks(tower)) == 1


def test_one_image_alone_gives_what_it_gives_in_a_batch():
    tower = tiny_tower()
    pixels = random_pixels(tower, 6)
    together, alone = (capture(tower, part, [1], True) for part in (pixels, pixels[2:3]))
    torch.testing.assert_close(together.attention[3][2:3], alone.attention[3])
    torch.testing.assert_close(together.activations[1][2:3], alone.activations[1])
    torch.testing.assert_close(together.ln_post.sigma[2:3], alone.ln_post.sigma)


def test_an_empty_batch_is_refused():
    tower = tiny_tower()
    with pytest.raises(ValueError, match="no images"):
        capture(tower, random_pixels(tower, 0), [0])


def test_tensors_can_be_used_with_gradients_afterwards():
    tower = tiny_tower()
    trace = capture(tower, random_pixels(tower), [1])
    assert not trace.embeddings.requires_grad
    leaf = trace.activations[1].requires_grad_()
    (leaf * trace.attention[2].sum()).sum().backward()
    assert leaf.grad is not None


def test_half_precision_keeps_scales_and_attention_in_float32():
    tower = tiny_tower(dtype=torch.bfloat16)
    trace = capture(tower, random_pixels(tower), [1])
    assert trace.activations[1].dtype == torch.bfloat16
    assert trace.attention[2].dtype == trace.ln_1[2].sigma.dtype == torch.float32
    assert trace.ln_post.mean.dtype == torch.float32
    exact = tiny_tower(dtype=torch.float32)
    expected = capture(exact, random_pixels(exact), [1])
    torch.testing.assert_close(trace.attention[2], expected.attention[2], atol=0.05, rtol=0.1)


def test_large_scores_do_not_overflow():
    tower = tiny_tower(dtype=torch.float32)
    attention = tower.transformer.resblocks[0].attn
    with torch.no_grad():
        attention.in_proj_weight.mul_(100)
        row = class_token_attention(attention, torch.randn(2, 17, 32))
    assert row.isfinite().all()
    torch.testing.assert_close(row.sum(dim=-1), torch.ones(2, 4))


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_scores_of_a_half_precise_model_are_not_rounded(half):
    attention = tiny_tower(dtype=half).transformer.resblocks[0].attn
    exact = tiny_tower(dtype=half).to(torch.float64).transformer.resblocks[0].attn
    tokens = torch.randn(2, 17, 32, generator=torch.Generator().manual_seed(0)).to(half)
    with torch.no_grad():
        for module in (attention, exact):
            module.in_proj_weight.mul_(8)  # exact in every format; scores of several tens
        found = class_token_attention(attention, tokens)
        _, expected = exact(*[tokens.double()] * 3, average_attn_weights=False)
    torch.testing.assert_close(found.double(), expected[:, :, 0], atol=2e-5, rtol=0)


def test_the_keys_bias_changes_nothing():
    tower = tiny_tower()
    attention = tower.transformer.resblocks[0].attn
    tokens = torch.randn(2, 17, 32, dtype=torch.float64)
    with torch.no_grad():
        before = class_token_attention(attention, tokens)
        attention.in_proj_bias[32:64] += 7
        _, weights = attention(tokens, tokens, tokens, average_attn_weights=False)
    torch.testing.assert_close(before, weights[:, :, 0])


@pytest.mark.parametrize("layers", [[4], [-1], [0, 9]])
def test_a_layer_that_does_not_exist_is_refused(layers):
    tower = tiny_tower()
    with pytest.raises(ValueError, match="layers 0 to 3"):
        capture(tower, random_pixels(tower), layers)


def test_a_tower_in_training_mode_is_refused():
    tower = tiny_tower(patch_dropout=0.5).train()
    with pytest.raises(ValueError, match=r"eval\(\)"):
        capture(tower, random_pixels(tower), [0])


def test_gelus_differ():
    quick, exact = tiny_tower(), tiny_tower(quick_gelu=False)
    pixels = random_pixels(quick)
    assert not torch.allclose(embed(quick, pixels), embed(exact, pixels), atol=1e-4)


@pytest.mark.slow
def test_a_tower_that_was_compiled_and_used_before_leaves_a_whole_trace():
    tower = tiny_tower()
    pixels = random_pixels(tower)
    expected = capture(tower, pixels, [0, 1], first_order=True)
    tower.compile(backend="eager")
    embed(tower, pixels)  # from here on hooks that are added are passed over
    trace = capture(tower, pixels, [0, 1], first_order=True)
    assert torch.equal(trace.activations[1], expected.activations[1])
    assert torch.equal(trace.mlp_outputs[3], expected.mlp_outputs[3])
    assert torch.equal(trace.embeddings, expected.embeddings)
