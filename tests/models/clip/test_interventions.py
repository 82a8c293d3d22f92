import numpy as np
import pytest
import torch
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from clipneuron.lens.indirect import indirect_effects, layer_indirect_effect
from clipneuron.models.clip.interventions import halted, resume, resume_flops
from clipneuron.models.clip.towers import tower_weights
from tests.samples.towers import authors_tower, random_pixels, tiny_tower

TOWERS = {
    "quick gelu": {},
    "gelu, no ln_pre": {"quick_gelu": False, "no_ln_pre": True},
    "layer scale": {"ls_init_value": 0.3},
    "final_ln_after_pool": {"final_ln_after_pool": True},
    "token first": {"batch_first": False, "ls_init_value": 0.3},
    "output tokens": {"output_tokens": True},
}


@pytest.fixture(params=TOWERS)
def tower(request):
    return tiny_tower(layers=4, **TOWERS[request.param])


def embed(tower, pixels):
    with torch.no_grad():
        output = tower(pixels)
    return output[0] if isinstance(output, tuple) else output


def test_resuming_an_unedited_stream_comes_to_the_models_own_output(tower):
    pixels = random_pixels(tower, 3)
    expected = embed(tower, pixels)
    for layer, halt in halted(tower, pixels, range(4))[1].items():
        assert halt.layer == layer
        assert torch.equal(halt.embeddings, expected)
        assert_close(resume(tower, layer, halt.residual), expected, rtol=1e-10, atol=1e-12)


def test_a_halt_keeps_the_neurons_that_wrote_into_its_stream(tower):
    """The stream without what its neurons and their bias wrote is what entered ln_2."""
    entered = []
    handle = tower.transformer.resblocks[2].ln_2.register_forward_hook(
        lambda module, inputs, output: entered.append(inputs[0])
    )
    halt = halted(tower, random_pixels(tower, 2), [2])[1][2]
    handle.remove()
    block = tower_weights(tower).blocks[2]
    without = halt.residual - halt.activations @ block.neuron_writes - block.neuron_bias
    stream = entered[0] if tower.transformer.batch_first else entered[0].transpose(0, 1)
    assert_close(without, stream.detach(), rtol=1e-10, atol=1e-12)


def test_no_hook_stays_behind_even_after_an_error(tower):
    for layers, says in [([0, 9], "do not exist")]:
        with pytest.raises(ValueError, match=says):
            halted(tower, random_pixels(tower), layers)
    halted(tower, random_pixels(tower), [1])
    assert not any(module._forward_hooks for module in tower.modules())


def test_the_stated_operations_are_those_that_torch_counts():
    tower = tiny_tower(layers=4, width=32, heads=4, mlp_ratio=3.0, dtype=torch.float32)
    streams = 3
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # its fused kernel is not counted
    try:
        for layer, halt in halted(tower, random_pixels(tower, streams), range(4))[1].items():
            with FlopCounterMode(display=False) as counter:
                resume(tower, layer, halt.residual)
            assert counter.get_total_flops() == streams * resume_flops(tower, layer)
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@pytest.mark.parametrize("layer", range(4))
def test_indirect_effects_are_those_of_the_authors_hook(parity, layer):
    hooks = np.load(parity / "hooks.npz")
    tower = authors_tower(parity, torch.float64)
    pixels = torch.from_numpy(np.load(parity / "images.npz")["train_pixels"][:4]).double()
    means = torch.from_numpy(hooks["mean_activation"][layer]).double()
    theirs = torch.from_numpy(hooks["indirect_ablated_representation"][layer]).transpose(0, 1)
    halt = halted(tower, pixels, [layer])[1][layer]
    writes = tower_weights(tower).blocks[layer].neuron_writes

    def rest(residual):
        return resume(tower, layer, residual)

    effects = indirect_effects(halt, writes, means, rest, normalize=False)
    size = halt.embeddings.abs().max()
    assert (halt.embeddings[:, None] - effects - theirs).abs().max() < 1e-5 * size
    whole = halt.embeddings - layer_indirect_effect(halt, writes, means, rest, normalize=False)
    together = torch.from_numpy(hooks["indirect_ablated_all_neurons"][layer])
    assert (whole - together).abs().max() < 1e-5 * size
