"""A CLIP whose neurons' words are known: its weights are set by hand, and none is trained.

    picture   a grid of patches; each thing is one pattern of a patch, and the patterns are orthogonal
    conv1     the patterns as matched filters: a coordinate of the residual stream per thing
    block 0   MLP: a planted neuron fires on the patches of its things and writes a sum of texts, pulled back through
              what follows; distractors fire on mixtures of things and write in random directions
    block 1   attention: the class token attends to all tokens alike through head 0, which takes what was written into
              the joint space by a random rotation. Head 1 interferes: it attends to tokens by their noise, and
              rotates what it takes once more
    texts     a small real text tower of open_clip: the mean of random embeddings of a text's tokens

A pair of large constant coordinates keeps the layer norms' scales alike on all tokens, so that they are nearly linear.
Through head 0 alone every effect of a neuron has one direction, whatever the pictures: the noise of pixels costs it
none of its words, only the pictures on which they are true. The interference does: it turns effects, by picture.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from open_clip.model import CLIP
from PIL import Image
from torch import Tensor

from clipneuron.config.recipe import Recipe
from clipneuron.models.clip.model import Clip, load_clip
from clipneuron.store.store import Run, Store
from clipneuron.sweep.pipeline import Sweep
from tests.samples.towers import tiny_config
from tests.samples.world import quiet_runner

EMBED, THINGS, GRID, PATCH, WIDTH, NEURONS = 64, 40, 6, 4, 128, 128
PIXELS = 3 * PATCH * PATCH
CONSTANT = 8.0
"""Of the pair that the layer norms see: with 128 coordinates their scale is one."""
CONTRAST = 3.0
"""Length of a pattern in normalised pixels: no colour leaves 0 to 255."""
THRESHOLD, GAIN = 0.5, 8.0
MEAN, STD = np.array([122.77, 116.75, 104.09]), np.array([68.5, 66.6, 70.3])
"""Of CLIP's normalisation, in values from 0 to 255."""
SPARE = PIXELS - THINGS
"""Patterns that are no thing: only noise is seen along them."""
SHARPNESS = 40.0
"""How strongly the interfering head attends by noise."""
FIRST_THING, FIRST_WRITE, FIRST_SPARE = 2, 2 + THINGS, 2 + THINGS + EMBED
"""Coordinates of the residual stream: the constant pair, the things, what is written, the spare patterns."""

Kind = Literal["single", "pair", "against", "several"]


@dataclass(frozen=True)
class Planted:
    """What a neuron was given: the things that it fires for, and the words that it writes with their weights."""

    kind: Kind
    things: tuple[int, ...]
    words: tuple[tuple[str, float], ...]
    """The strongest first."""


@dataclass(frozen=True)
class PlantedWorld:
    """The model, its pool of texts, and the truth."""

    clip: Clip
    things: tuple[str, ...]
    """The word of each thing."""
    pool: tuple[str, ...]
    planted: tuple[Planted, ...]
    """Of neurons 0, 1, ... of layer 0; the others are distractors."""
    patterns: NDArray[np.float64]
    """[thing, row, column, colour], in normalised pixels."""


def planted_world(
    pool: Sequence[str],
    *,
    concepts: int = 3,
    interference: float = 0.3,
    distractors: float = 0.5,
    seed: int = 0,
) -> PlantedWorld:
    """A world of forty things out of a pool of texts, which are spread evenly over it.

    concepts: things of a neuron of the kind "several". interference: strength of the head that turns effects, as a
    share of the other's. distractors: length of what distractors write, as a share of a text's. Raises ValueError for
    a pool with fewer texts than things.
    """
    if len(pool) < THINGS:
        raise ValueError(f"{len(pool)} texts cannot name {THINGS} things: give a larger pool")
    generator = torch.Generator().manual_seed(seed)
    chosen = np.linspace(0, len(pool) - 1, THINGS).astype(int)
    things = tuple(pool[place] for place in chosen)
    planted = tuple(_plan(things, concepts))
    patterns = _orthonormal(generator, PIXELS)
    network = CLIP(**_config()).eval()
    with torch.no_grad():
        _set_texts(network, generator)
        clip = load_clip(network)
        texts = torch.nn.functional.normalize(clip.encode_texts(things).float(), dim=1)
        neurons = _neurons(planted, dict(zip(things, texts, strict=True)), distractors, generator)
        _set_images(network.visual, patterns, neurons, interference, generator)
    shape = THINGS, 3, PATCH, PATCH
    shown = CONTRAST * patterns[:THINGS].reshape(shape).permute(0, 2, 3, 1).double().numpy()
    return PlantedWorld(load_clip(network), things, tuple(pool), planted, shown)


def swept(
    world: PlantedWorld, folder: Path, pictures: int, *, noise: float = 10.0
) -> tuple[Sweep, Run, NDArray[np.bool_]]:
    """The finished sweep over a collection of the world, its run, and which picture shows which thing."""
    shows = write_collection(world, folder / "pictures" / "swept.parquet", pictures, noise=noise)
    (folder / "pool.txt").write_text("\n".join(world.pool), encoding="utf-8")
    most = max(len(plan.words) for plan in world.planted)
    recipe = Recipe(
        name="planted",
        model="in memory",
        images=str(folder / "pictures"),
        pool=str(folder / "pool.txt"),
        atoms=most + 1,
        words=most + 1,
        top=max(10, pictures // 50),
        batch_size=64,
    )
    sweep = Sweep.of(recipe, Store(folder / "store"), world.clip)
    run, _ = sweep.run(quiet_runner())
    return sweep, run, shows


class Recovery(NamedTuple):
    """How much of a neuron's planted words stands in as many strongest words of its description, as shares."""

    words: float
    signs: float
    """Words with their signs."""
    order: float
    """Words with their signs in their places."""


def recovery(plan: Planted, found: Sequence[tuple[str, float]]) -> Recovery:
    """Of the words found for a neuron with their weights, in any order."""
    strongest = sorted(found, key=lambda word: -abs(word[1]))[: len(plan.words)]
    known = {text: weight > 0 for text, weight in strongest}
    words = [text in known for text, _ in plan.words]
    signs = [known.get(text) == (weight > 0) for text, weight in plan.words]
    places = [
        there and place < len(strongest) and strongest[place][0] == text
        for place, ((text, _), there) in enumerate(zip(plan.words, signs, strict=True))
    ]
    return Recovery(*(sum(hits) / len(hits) for hits in (words, signs, places)))


def write_collection(
    world: PlantedWorld, place: Path, pictures: int, *, noise: float = 10.0, seed: int = 0
) -> NDArray[np.bool_]:
    """A Parquet file of pictures, with their main thing as `label` and all their things as `tags`; who shows what.

    Every picture shows four things on a patch each, its main thing by turns; `noise` is the standard deviation of the
    grey patches and of the things, of 255 values. Returns [picture, thing].
    """
    dice = np.random.default_rng(seed)
    shows, encoded = np.zeros((pictures, THINGS), bool), []
    for number in range(pictures):
        others = dice.permutation([thing for thing in range(THINGS) if thing != number % THINGS])[
            :3
        ]
        shown = [number % THINGS, *others]
        shows[number, shown] = True
        encoded.append(_drawn(world.patterns, shown, noise, dice))
    tags = [[world.things[thing] for thing in np.flatnonzero(row)] for row in shows]
    labels = [world.things[number % THINGS] for number in range(pictures)]
    place.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"image": encoded, "label": labels, "tags": tags}), place)
    return shows


def _drawn(
    patterns: NDArray[np.float64], shown: Sequence[int], noise: float, dice: np.random.Generator
) -> bytes:
    grid = np.zeros((GRID * GRID, PATCH, PATCH, 3))
    grid[dice.permutation(GRID * GRID)[: len(shown)]] = patterns[shown]
    rows = grid.reshape(GRID, GRID, PATCH, PATCH, 3).transpose(0, 2, 1, 3, 4)
    values = rows.reshape(GRID * PATCH, GRID * PATCH, 3) * STD + MEAN
    values += dice.normal(0, noise, values.shape)
    buffer = io.BytesIO()
    Image.fromarray(values.round().clip(0, 255).astype(np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()


def _plan(things: Sequence[str], concepts: int) -> list[Planted]:
    """Ten neurons of each kind. A thing belongs to one neuron of a kind, but to neurons of several kinds."""
    each, count = 10, len(things)
    falling = np.linspace(1.0, 0.6, concepts)
    plans = [Planted("single", (n,), ((things[n], 1.0),)) for n in range(each)]
    for n in range(each):
        first, second = 10 + n, 20 + n
        words = ((things[first], 1.0), (things[second], 0.7))
        plans.append(Planted("pair", (first, second), words))
    for n in range(each):
        words = ((things[30 + n], 1.0), (things[n], -0.7))
        plans.append(Planted("against", (30 + n,), words))
    for n in range(each):
        own = tuple((7 * n + 11 * k + 5) % count for k in range(concepts))
        words = tuple((things[t], float(w)) for t, w in zip(own, falling, strict=True))
        plans.append(Planted("several", own, words))
    return plans


def _config() -> dict[str, object]:
    config = tiny_config(
        layers=2, width=WIDTH, heads=2, embed=EMBED, image_size=GRID * PATCH, patch_size=PATCH,
        mlp_ratio=NEURONS / WIDTH,
    )  # fmt: skip
    return config | {"text_cfg": config["text_cfg"] | {"width": EMBED, "heads": 1, "layers": 1}}


def _orthonormal(generator: torch.Generator, size: int) -> Tensor:
    return torch.linalg.qr(
        torch.randn(size, size, generator=generator, dtype=torch.float64)
    ).Q.float()


def _silent(block: torch.nn.Module) -> None:
    """The block adds nothing and attends to all tokens alike."""
    for parameter in block.parameters():
        parameter.zero_()
    for norm in (block.ln_1, block.ln_2):
        norm.weight.fill_(1.0)


def _set_texts(network: CLIP, generator: torch.Generator) -> None:
    """The last token, whose own embedding is zero, gathers the mean of the others' random embeddings."""
    block = network.transformer.resblocks[0]
    _silent(block)
    block.attn.in_proj_weight[2 * EMBED :] = torch.eye(EMBED)
    block.attn.out_proj.weight.copy_(torch.eye(EMBED))
    drawn = torch.randn(network.token_embedding.weight.shape, generator=generator)
    drawn[-2:] = 0  # the first and the last token of every text
    network.token_embedding.weight.copy_(drawn)
    network.positional_embedding.zero_()
    network.ln_final.weight.fill_(1.0)
    network.ln_final.bias.zero_()
    network.text_projection.copy_(_orthonormal(generator, EMBED))


def _set_images(
    tower: torch.nn.Module,
    patterns: Tensor,
    neurons: tuple[Tensor, Tensor],
    interference: float,
    generator: torch.Generator,
) -> None:
    written = slice(FIRST_WRITE, FIRST_SPARE)
    rotation = _orthonormal(generator, EMBED)  # [write, embed]
    first, later = tower.transformer.resblocks
    for block in (first, later):
        _silent(block)
    filters = torch.zeros(WIDTH, PIXELS)
    filters[FIRST_THING:FIRST_WRITE] = patterns[:THINGS] / CONTRAST
    filters[FIRST_SPARE : FIRST_SPARE + SPARE] = patterns[THINGS:] / CONTRAST
    tower.conv1.weight.copy_(filters.view_as(tower.conv1.weight))
    tower.class_embedding.zero_()
    tower.positional_embedding.zero_()
    tower.positional_embedding[:, 0], tower.positional_embedding[:, 1] = CONSTANT, -CONSTANT
    # What all pictures share in the joint space, so that their lengths are nearly alike.
    tower.class_embedding[written] = torch.nn.functional.normalize(
        torch.randn(EMBED, generator=generator), dim=0
    )
    for norm in (tower.ln_pre, tower.ln_post):
        norm.weight.fill_(1.0)
        norm.bias.zero_()
    reads, writes = neurons
    first.mlp.c_fc.weight[:, FIRST_THING:FIRST_WRITE] = GAIN * reads
    first.mlp.c_fc.bias.fill_(-GAIN * THRESHOLD)
    first.mlp.c_proj.weight[written] = rotation @ writes.T
    query, key, value = later.attn.in_proj_weight.chunk(3)
    query[EMBED, 0] = 1.0
    # Of both signs, so that the mean that the layer norm takes off, which depends on the things, does not matter.
    key[EMBED, FIRST_SPARE : FIRST_SPARE + SPARE] = torch.tensor([1.0, -1.0]).repeat(SPARE // 2)
    key[EMBED] *= SHARPNESS / CONSTANT
    value[:EMBED, written] = value[EMBED:, written] = torch.eye(EMBED)
    turned = interference * _orthonormal(generator, EMBED)
    later.attn.out_proj.weight[written] = torch.cat([torch.eye(EMBED), turned], dim=1)
    tower.proj.zero_()
    tower.proj[written] = rotation


def _neurons(
    planted: Sequence[Planted],
    texts: dict[str, Tensor],
    distractors: float,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """What neurons read off the things [neuron, thing], and what they write in the joint space [neuron, embed]."""
    reads = torch.randn(NEURONS, THINGS, generator=generator) / 2
    writes = torch.randn(NEURONS, EMBED, generator=generator) * distractors / EMBED**0.5
    for neuron, plan in enumerate(planted):
        reads[neuron] = 0
        reads[neuron, list(plan.things)] = 1
        writes[neuron] = sum(weight * texts[word] for word, weight in plan.words)
    return reads, writes
