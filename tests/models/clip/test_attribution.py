from inspect import unwrap

import pytest
import torch
from torch.nn.functional import normalize

from clipneuron import load_clip
from clipneuron.lens.attribution.methods import METHODS, needs_of
from clipneuron.lens.attribution.second_order import neuron_weights
from clipneuron.models.clip.attribution import attribute
from clipneuron.models.clip.towers import tower_weights
from tests.models.clip.test_capture import TOWERS
from tests.models.clip.test_timm_towers import tiny_timm
from tests.samples.towers import random_pixels, tiny_clip, tiny_tower

ALL = list(METHODS)


def inputs_of(weights, images, seed=4):
    generator = torch.Generator().manual_seed(seed)
    like = weights.projection
    directions = normalize(torch.randn(images, weights.embed, generator=generator), dim=1).to(like)
    products = {
        layer: torch.randn(images, weights.neurons, generator=generator).to(like)
        for layer in range(weights.layers - 1)
    }
    neurons = {
        name: neuron_weights(products, 10, method.choice)
        for name, method in METHODS.items()
        if method.choice
    }
    return {"directions": directions, "neurons": neurons, "others": directions.roll(1, 0) / 2}


def maps_of(tower, pixels, methods=ALL, **changes):
    weights = tower_weights(tower)
    given = inputs_of(weights, len(pixels)) | changes
    # shapes in signatures would be refused before our own words are reached
    return unwrap(attribute)(tower, weights, pixels, given.pop("directions"), methods, **given)


@pytest.mark.parametrize(
    "kind", ["gelu", "token_first_layer_scale", "output_tokens", "rectangle", "float32"]
)
def test_every_tower_gives_every_map(kind):
    tower = tiny_tower(**TOWERS[kind])
    rows, columns = tower.grid_size
    found = maps_of(tower, random_pixels(tower, 2))
    assert list(found) == ALL
    for name, values in found.items():
        assert values.shape == (2, rows * columns)
        assert values.dtype == torch.float32
        assert not values.requires_grad
        assert values.isfinite().all()
        # where no head's mean gradient is positive, GradCAM clips everything
        assert values.std(dim=1).min() > 0 or name == "gradcam"


def test_a_tower_of_one_block_has_all_maps_without_neurons():
    tower = tiny_tower(layers=1)
    weights, names = tower_weights(tower), [name for name in ALL if not METHODS[name].choice]
    directions = normalize(torch.randn(2, weights.embed), dim=1).to(weights.projection)
    pixels = random_pixels(tower, 2)
    found = attribute(tower, weights, pixels, directions, names, others=directions.roll(1, 0))
    assert all(values.isfinite().all() for values in found.values())


def test_timms_towers_are_covered():
    clip = load_clip(tiny_timm())
    pixels = torch.randn(2, 3, *clip.image_size)
    given = inputs_of(clip.weights, 2)
    found = attribute(clip.visual, clip.weights, pixels, given.pop("directions"), ALL, **given)
    assert all(values.isfinite().all() for values in found.values())


def test_pictures_do_not_meet():
    tower = tiny_tower()
    pixels = random_pixels(tower, 4)
    given = inputs_of(tower_weights(tower), 4)
    both = maps_of(tower, pixels, **given)
    for half in (slice(0, 1), slice(1, 4)):
        part = {
            "directions": given["directions"][half],
            "others": given["others"][half],
            "neurons": {
                name: {layer: kept[half] for layer, kept in layers.items()}
                for name, layers in given["neurons"].items()
            },
        }
        for name, values in maps_of(tower, pixels[half], **part).items():
            torch.testing.assert_close(values, both[name][half], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(
    ("mode", "frozen"),
    [(torch.inference_mode, False), (torch.no_grad, True), (torch.enable_grad, False)],
)
def test_gradients_are_taken_in_every_mode_and_leave_none_behind(mode, frozen):
    tower = tiny_tower().requires_grad_(not frozen)
    pixels = random_pixels(tower, 2)
    expected = maps_of(tower, pixels)
    with mode():
        found = maps_of(tower, pixels.clone())
    assert all(torch.equal(found[name], values) for name, values in expected.items())
    assert all(parameter.grad is None for parameter in tower.parameters())
    assert all(parameter.requires_grad is not frozen for parameter in tower.parameters())


def test_all_methods_share_one_forward_pass():
    tower = tiny_tower()
    passes = []
    tower.conv1.register_forward_hook(lambda *given: passes.append("stem"))
    tower.transformer.resblocks[2].ln_1.register_forward_hook(lambda *given: passes.append("block"))
    maps_of(tower, random_pixels(tower, 2))
    assert passes == ["stem", "block"]
    maps_of(tower, random_pixels(tower, 2), ["center"])
    assert passes == ["stem", "block"]


def test_maps_of_a_class_depend_on_it_and_the_others_do_not():
    tower = tiny_tower()
    pixels = random_pixels(tower, 2)
    one, other = (inputs_of(tower_weights(tower), 2, seed) for seed in (4, 5))
    before, after = (
        maps_of(tower, pixels, directions=given["directions"]) for given in (one, other)
    )
    alike = {name for name in ALL if torch.equal(before[name], after[name])}
    of_neurons = {name for name in ALL if METHODS[name].choice}
    assert alike == of_neurons | {"raw-attention", "rollout", "center"}


def test_what_methods_need_together():
    assert needs_of(["center"]) == {"nothing"}
    assert needs_of(["raw-attention", "chefer"]) == {"trace", "gradients", "relevance"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pool_type": "avg"}, "pool_type='avg'"),
        ({"attentional_pool": True}, "pooled by attention"),
        ({"block_type": "custom"}, "custom attention blocks"),
    ],
)
def test_towers_without_a_class_token_at_the_output_are_refused(options, words):
    tower, plain = tiny_tower(**options), tower_weights(tiny_tower())
    given = inputs_of(plain, 2)
    with pytest.raises(ValueError, match=words):
        attribute(tower, plain, random_pixels(tower, 2), given.pop("directions"), ALL, **given)


def test_half_precision_is_refused_and_widened_is_taken():
    clip = load_clip(tiny_clip(dtype=torch.bfloat16))
    pixels = torch.randn(2, 3, *clip.image_size)
    with pytest.raises(ValueError, match=r"bfloat16, too coarse .* `clip.widened\(\)`"):
        maps_of(clip.visual, pixels.bfloat16())
    assert maps_of(clip.widened().visual, pixels)


WRONG = {
    "unit": (lambda g: g | {"directions": 3 * g["directions"]}, "unit length, but one has 3:"),
    "rows": (
        lambda g: g | {"directions": g["directions"][:1]},
        r"`directions` .* expected \(2, 24\)",
    ),
    "others": (lambda g: g | {"others": None}, "textspan-centered needs `others`"),
    "other rows": (lambda g: g | {"others": g["others"][:1]}, r"`others` has the shape \(1, 24\)"),
    "no neurons": (
        lambda g: g | {"neurons": None},
        r"second-order needs `neurons\['second-order'\]`",
    ),
    "neurons": (
        lambda g: g | {"neurons": {n: {1: torch.ones(2, 3)} for n in g["neurons"]}},
        r"layer 1 for second-order have the shape \(2, 3\); expected \(2, 128\)",
    ),
    "last layer": (
        lambda g: g | {"neurons": {n: {3: torch.ones(2, 128)} for n in g["neurons"]}},
        "layer 3 is the last layer",
    ),
    "no layer": (
        lambda g: g | {"neurons": {n: {9: torch.ones(2, 128)} for n in g["neurons"]}},
        r"layers \[9",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_does_not_fit_is_refused_before_the_pass(kind):
    change, words = WRONG[kind]
    tower = tiny_tower()
    tower.conv1.register_forward_hook(lambda *given: pytest.fail("the pass has begun"))
    given = change(inputs_of(tower_weights(tower), 2))
    with pytest.raises(ValueError, match=words):
        maps_of(tower, random_pixels(tower, 2), **given)


def test_unknown_methods_and_pictures_of_another_size_are_refused():
    tower = tiny_tower()
    with pytest.raises(
        ValueError, match=r"no attribution method 'saliency'; there are second-order, "
    ):
        maps_of(tower, random_pixels(tower, 2), ["rollout", "saliency"])
    with pytest.raises(ValueError, match="no attribution method was named"):
        maps_of(tower, random_pixels(tower, 2), [])
    with pytest.raises(ValueError, match="are 16 x 32 pixels; this tower reads 32 x 32"):
        maps_of(tower, random_pixels(tower, 2)[:, :, :16])
    with pytest.raises(ValueError, match="no images"):
        maps_of(tower, random_pixels(tower, 2)[:0])
    with pytest.raises(ValueError, match="training mode"):
        maps_of(tower.train(), random_pixels(tower, 2))
