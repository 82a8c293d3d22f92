"""Every method's map is its formula, as the slow oracles of `tests.lens.attribution.literal` write it out."""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from clipneuron.lens.attribution.heatmaps import heatmaps
from clipneuron.lens.attribution.maps import MAPS
from clipneuron.lens.attribution.methods import METHODS
from clipneuron.models.clip.attribution import attribute
from clipneuron.models.clip.towers import tower_weights
from tests.lens.attribution.literal import Handed, forward, handed, leaving, score, slopes
from tests.lens.literal import plain_trace, plain_weights
from tests.samples.towers import random_pixels, tiny_tower

LAYERS, IMAGES, PATCHES = 3, 2, 6
SMALL = {
    "layers": LAYERS,
    "width": 8,
    "heads": 2,
    "embed": 6,
    "image_size": (16, 24),
    "mlp_ratio": 1.5,
    "ls_init_value": 0.7,
}
TOWER = tiny_tower(**SMALL)
PIXELS = random_pixels(TOWER, IMAGES)
_GENERATOR = torch.Generator().manual_seed(5)


def _random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=_GENERATOR, dtype=torch.float64)


DIRECTIONS = normalize(_random(IMAGES, 6), dim=1)
OTHERS = 0.3 * _random(IMAGES, 6)
NEURONS = {
    name: {layer: _random(IMAGES, 12) for layer in (0, 1)}
    for name, method in METHODS.items()
    if method.choice
}


def attention(blocks: list, layer: int) -> Tensor:
    return torch.stack([head[3] for head in blocks[layer].heads])


def raw_attention(image: int) -> Tensor:
    return attention(forward(TOWER, PIXELS[image]), -1).mean(0)[0, 1:]


def rollout(image: int) -> Tensor:
    blocks, joint = forward(TOWER, PIXELS[image]), torch.eye(PATCHES + 1).double()
    for layer in (1, 2):
        flow = attention(blocks, layer).mean(0) + torch.eye(PATCHES + 1)
        joint = flow / flow.sum(1, keepdim=True) @ joint
    return joint[0, 1:]


def gradients(image: int, layer: int) -> Tensor:
    def objective(blocks: list) -> Tensor:
        return score(TOWER, leaving(blocks[-1])[0], DIRECTIONS[image])

    return slopes(TOWER, PIXELS[image], layer, objective)


def grad_cam(image: int) -> Tensor:
    maps, slope = attention(forward(TOWER, PIXELS[image]), -1), gradients(image, 2)
    heads = [maps[head, 0, 1:] * slope[head, 0, 1:].mean() for head in range(2)]
    return torch.stack(heads).mean(0).relu()


@cache
def relevance(image: int) -> Handed:
    return handed(TOWER, PIXELS[image], DIRECTIONS[image])


def chefer(image: int) -> Tensor:
    given = relevance(image).attention
    joint = torch.eye(PATCHES + 1).double()
    for layer in (1, 2):
        mean = (gradients(image, layer) * given[layer]).relu().mean(0)
        joint = (torch.eye(PATCHES + 1) + mean) @ joint
    return joint[0, 1:]


def legrad(image: int) -> Tensor:
    def found(layer: int) -> Tensor:
        def objective(blocks: list) -> Tensor:
            return score(TOWER, leaving(blocks[layer]).mean(0), DIRECTIONS[image])

        return slopes(TOWER, PIXELS[image], layer, objective).relu().mean((0, 1))[1:]

    return (found(1) + found(2)) / 2


def value_attention(image: int) -> Tensor:
    themselves = torch.eye(PATCHES + 1).double().expand(2, -1, -1)
    blocks = forward(
        TOWER, PIXELS[image], lambda layer, own: themselves if layer == LAYERS - 1 else own
    )
    patches = leaving(blocks[-1])[1:]
    return torch.stack([score(TOWER, patch, DIRECTIONS[image]) for patch in patches])


def textspan(image: int, direction: Tensor) -> Tensor:
    trace = plain_trace(TOWER, PIXELS[image : image + 1])
    return heatmaps(plain_weights(TOWER), trace, direction, "equal")[0]


def second_order(name: str, image: int, attended: bool = False) -> Tensor:
    blocks, total = forward(TOWER, PIXELS[image]), torch.zeros(PATCHES).double()
    for layer, weights in NEURONS[name].items():
        later = [attention(blocks, index)[:, 0] for index in range(layer + 1, LAYERS)]
        for patch in range(PATCHES):
            read = torch.cat(later)[:, 1 + patch].mean() if attended else 1
            for neuron, weight in enumerate(weights[image]):
                total[patch] += weight * blocks[layer].activations[1 + patch, neuron] * read
    return total


def center(image: int) -> Tensor:
    """Patches at a half and three quarters of the height, and at 1/6, 1/2 and 5/6 of the width."""
    rows, columns = torch.tensor([-1.0, 1.0]), torch.tensor([-4 / 3, 0.0, 4 / 3])
    return torch.stack([torch.exp(-(row**2 + column**2) / 2) for row in rows for column in columns])


ORACLES: dict[str, Callable[[int], Tensor]] = {
    "second-order": lambda image: second_order("second-order", image),
    "second-order-signed": lambda image: second_order("second-order-signed", image),
    "second-order-weighted": lambda image: second_order("second-order-weighted", image),
    "second-order-attention": lambda image: second_order("second-order-attention", image, True),
    "raw-attention": raw_attention,
    "rollout": rollout,
    "gradcam": grad_cam,
    "lrp": lambda image: relevance(image).patches,
    "partial-lrp": lambda image: relevance(image).attention[2].relu().mean(0)[0, 1:],
    "chefer": chefer,
    "textspan": lambda image: textspan(image, DIRECTIONS[image]),
    "textspan-centered": lambda image: textspan(image, DIRECTIONS[image] - OTHERS[image]),
    "legrad": legrad,
    "value-attention": value_attention,
    "center": center,
    "random-neurons": lambda image: second_order("random-neurons", image),
}


def maps_of(names: list[str]) -> dict[str, Tensor]:
    return attribute(
        TOWER, tower_weights(TOWER), PIXELS, DIRECTIONS, names, neurons=NEURONS, others=OTHERS
    )


@pytest.fixture(scope="module")
def together() -> dict[str, Tensor]:
    return maps_of(list(METHODS))


def test_every_method_has_a_map_and_an_oracle():
    assert list(METHODS) == list(MAPS) == list(ORACLES)


def test_the_document_names_every_method_in_order():
    page = (Path(__file__).parents[3] / "docs" / "attribution.md").read_text()
    assert re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE) == list(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_a_map_is_its_formula(name: str, together: dict[str, Tensor]):
    for image in range(IMAGES):
        expected = ORACLES[name](image).detach().float()
        assert expected.std() > 0
        torch.testing.assert_close(together[name][image], expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_alone_finds_what_it_finds_among_all(name: str, together: dict[str, Tensor]):
    torch.testing.assert_close(maps_of([name])[name], together[name], rtol=1e-5, atol=1e-8)


def test_slopes_are_differences():
    """The oracle of gradients, against a small step of single attention weights."""
    slope = gradients(0, 1)
    for place in ((0, 0, 3), (1, 4, 2)):
        found = []
        for step in (-1e-6, 1e-6):
            moved = torch.zeros_like(slope)
            moved[place] = step
            blocks = forward(
                TOWER, PIXELS[0], lambda at, own, by=moved: own + by if at == 1 else own
            )
            found.append(score(TOWER, leaving(blocks[-1])[0], DIRECTIONS[0]))
        difference = (found[1] - found[0]) / 2e-6
        torch.testing.assert_close(slope[place], difference, rtol=1e-5, atol=1e-10)
