"""Indirect effects against the model itself, run again with a hook that edits the activation, in float64."""

from functools import partial

import pytest
import torch
from torch.testing import assert_close

from clipneuron.lens.directions import first_directions
from clipneuron.lens.indirect import ActivationSums, indirect_effects, layer_indirect_effect
from clipneuron.models.clip.interventions import halted, resume
from tests.lens.literal import plain_weights
from tests.samples.towers import random_pixels, tiny_tower

TOWERS = {
    "quick gelu": {},
    "gelu": {"quick_gelu": False},
    "layer scale, token first": {"ls_init_value": 0.5, "batch_first": False},
}
LAYERS = 4


@pytest.fixture(scope="module", params=TOWERS)
def case(request):
    tower = tiny_tower(layers=LAYERS, width=16, embed=12, mlp_ratio=2.0, **TOWERS[request.param])
    return (
        tower,
        random_pixels(tower, 3),
        halted(tower, random_pixels(tower, 7, seed=5), range(4))[1],
    )


def mean_activations(case, layer):
    return ActivationSums.of(case[2][layer].activations).mean


def literal_run(tower, pixels, layer, means, neurons):
    """M_image with some neurons of a layer set to their per-token means by a forward hook."""

    def edit(module, inputs, output):
        edited = output.clone()
        tokens = edited if tower.transformer.batch_first else edited.transpose(0, 1)
        tokens[:, :, neurons] = means[:, neurons]
        return edited

    handle = tower.transformer.resblocks[layer].mlp.gelu.register_forward_hook(edit)
    with torch.no_grad():
        embeddings = tower(pixels)
    handle.remove()
    return embeddings


def arguments(case, layer):
    tower, pixels, _ = case
    halt = halted(tower, pixels, [layer])[1][layer]
    writes = plain_weights(tower).blocks[layer].neuron_writes
    return halt, writes, mean_activations(case, layer), partial(resume, tower, layer)


@pytest.mark.parametrize("layer", range(LAYERS))
@pytest.mark.parametrize("normalize", [False, True])
def test_each_neurons_effect_is_that_of_a_run_with_an_edited_activation(case, layer, normalize):
    tower, pixels, _ = case
    means = mean_activations(case, layer)
    effects = indirect_effects(*arguments(case, layer), normalize=normalize, streams=20)
    with torch.no_grad():
        plain = tower(pixels)
    scale = plain.norm(dim=1, keepdim=True) if normalize else 1.0
    for neuron in range(32):
        expected = (plain - literal_run(tower, pixels, layer, means, [neuron])) / scale
        assert_close(effects[:, neuron], expected, rtol=1e-8, atol=1e-13)
    assert (effects.norm(dim=-1) > 1e-6).double().mean() > 0.9


@pytest.mark.parametrize("layer", range(LAYERS))
def test_the_layers_effect_is_that_of_a_run_with_all_neurons_at_their_means(case, layer):
    tower, pixels, _ = case
    halt, *rest = arguments(case, layer)
    effect = layer_indirect_effect(halt, *rest, normalize=False)
    expected = literal_run(tower, pixels, layer, rest[1], list(range(32)))
    assert_close(halt.embeddings - effect, expected, rtol=1e-10, atol=1e-12)


def test_effects_depend_neither_on_the_batch_nor_on_the_choice(case):
    whole = indirect_effects(*arguments(case, 1), streams=1000)
    assert_close(indirect_effects(*arguments(case, 1), streams=1), whole, rtol=1e-9, atol=1e-13)
    some = indirect_effects(*arguments(case, 1), neurons=[5, 2, 5])
    assert_close(some, whole[:, [5, 2, 5]], rtol=1e-9, atol=1e-13)
    assert indirect_effects(*arguments(case, 1), neurons=[]).shape == (3, 0, 12)


def test_a_neuron_at_its_mean_already_has_no_effect(case):
    halt, writes, _, rest = arguments(case, 2)
    own = halt.activations[:1].mean(0)
    assert indirect_effects(halt, writes, own, rest)[0].abs().max() < 1e-12


def test_sums_of_activations_merge(case):
    activations = case[2][0].activations
    halves = ActivationSums.of(activations[:3]) + ActivationSums.of(activations[3:])
    assert halves.count == 7
    assert_close(halves.mean, activations.mean(0), rtol=1e-12, atol=1e-14)
    with pytest.raises(ValueError, match="at least one image"):
        _ = ActivationSums.of(activations[:0]).mean


def test_first_directions_of_indirect_effects_are_those_of_their_svd(case):
    """Effects that are known themselves are their own basis: each row one path, each image one unit coefficient."""
    effects = indirect_effects(*arguments(case, 1)).transpose(0, 1)
    effects = effects - effects.mean(1, keepdim=True)
    neurons, images, embed = effects.shape
    units = torch.eye(images, dtype=effects.dtype).expand(neurons, -1, -1)
    empty = effects.new_zeros(neurons, images, 0), effects.new_zeros(0, embed)
    found = first_directions(units, effects, *empty)
    sizes, right = torch.linalg.svd(effects, full_matrices=False)[1:]
    explained = sizes[:, 0].square() / sizes.square().sum(1)
    assert_close(found.explained_variance, explained, rtol=1e-6, atol=1e-9)
    cosines = (found.vectors * right[:, 0]).sum(1).abs()
    assert_close(cosines, torch.ones_like(cosines), rtol=1e-5, atol=0)


def test_what_does_not_belong_together_is_refused(case):
    halt, writes, means, rest = arguments(case, 1)
    with pytest.raises(ValueError, match=r"neurons \[32\] do not exist"):
        indirect_effects(halt, writes, means, rest, [3, 32])
    with pytest.raises(ValueError, match="streams is 0"):
        indirect_effects(halt, writes, means, rest, streams=0)
    with pytest.raises(ValueError, match="means has shape"):
        layer_indirect_effect(halt, writes, means[1:], rest)
    with pytest.raises(ValueError, match="writes has shape"):
        indirect_effects(halt, writes[:, 1:], means, rest)
