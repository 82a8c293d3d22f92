"""Named configurations of a whole run. A recipe says what to compute; `clipneuron.sweep` carries it out."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from clipneuron.lens.paths import Split
from clipneuron.lens.pursuit import Preparation
from clipneuron.stage import Config
from clipneuron.storage.experiments import METHODS, Method


class Evaluation(Config):
    """How the paper's evidence is gathered: labelled pictures, a zero-shot classifier, what is looked at closely."""

    images: str = Field(
        default="", description="labelled pictures; 'demo' renders scenes of one thing each"
    )
    every: int = Field(default=1, ge=1, description="use every n-th picture (the authors: 10)")
    limit: int = Field(default=0, ge=0, description="use at most this many pictures; 0 means all")
    classes: str = Field(
        default="labels",
        description="class names: 'imagenet', 'labels' (as the pictures' labels are named) or a file",
    )
    templates: str = Field(
        default="imagenet", description="'imagenet' (OpenAI's 80), or a file with {} in each line"
    )
    detail_layers: tuple[int, ...] = Field(
        default=(),
        description="layers of Fig. 4 and Table 1; empty means the third from last (9 of ViT-B-32)",
    )
    pools: tuple[str, ...] = Field(
        default=("words-10k", "words-30k"), description="text pools of Fig. 4, as for `pool`"
    )
    sizes: tuple[int, ...] = Field(
        default=(4, 8, 16, 32, 64, 128), description="texts per neuron, m of Fig. 4"
    )
    reconstruction: Literal["paper", "authors"] = Field(
        default="paper",
        description="what replaces phi - b: paper, <phi - b, r> r_hat; authors, <phi - b, r_hat> r_hat",
    )
    indirect_neurons: int = Field(
        default=64, ge=1, description="neurons per layer of Table 1, drawn at random"
    )
    indirect_images: int = Field(
        default=512,
        ge=2,
        description="pictures of D, the first ones, that they are held at their mean on",
    )
    neurons: tuple[tuple[int, int], ...] = Field(
        default=(), description="(layer, neuron) to show with words and pictures (Tables 2 and 5)"
    )


PAIRS: dict[str, tuple[str, ...]] = {
    # Table 3
    "cifar10": ("horse:automobile", "dog:deer", "bird:frog", "ship:truck", "ship:automobile"),
    # Figure 13
    "figure13": (
        "dog:deer",
        "dog:cat",
        "frog:bird",
        "bird:frog",
        "bird:cat",
        "bird:horse",
        "cat:vacuum cleaner",
        "stop sign:yield",
        "stop sign:crossroad",
    ),
}
"""The paper's pairs c1:c2; c1 is in the picture, c2 is what it is to be taken for."""


class Attack(Config):
    """How semantic adversarial images are produced (Sec. 5.1); the numbers are the paper's."""

    pairs: tuple[str, ...] = Field(
        default=("cifar10",),
        description="c1:c2, 'cifar10' (Table 3), 'figure13', or 'all' (each class against another one)",
    )
    classes: str = Field(
        default="cifar10", description="all classes: 'cifar10', 'imagenet' or a file of names"
    )
    methods: tuple[Method, ...] = Field(
        default=METHODS,
        description="how words are found: by the neurons for c2 - c1, or by one of Table 3's baselines",
    )
    repeats: int = Field(default=3, ge=1, description="repetitions of the whole experiment")
    layers: tuple[int, ...] = Field(
        default=(), description="layers of the neurons; empty means all of the run"
    )
    neurons: int = Field(default=100, ge=1, description="neurons that words are taken from")
    words: int = Field(default=25, ge=1, description="words that the captions are asked for")
    rule: Literal["paper", "authors"] = Field(
        default="paper",
        description="contributions summed over neurons (Eq. 6), or taken one by one",
    )
    sentences: str = Field(
        default="sentence-transformers/all-distilroberta-v1",
        description="model that finds synonyms of c2: a hub name, a folder, or 'clip', the model itself",
    )
    similarity: float = Field(default=0.6, description="cosine at which a word is a synonym")
    blocked: str = Field(default="", description="file of words that are left out, one per line")
    captioner: str = Field(
        default="meta-llama/Meta-Llama-3-8B-Instruct",
        description="hub name or folder of a chat model, http(s)://HOST/v1#MODEL, answers:FILE, or 'demo'",
    )
    captioner_memory: float = Field(
        default=0,
        ge=0,
        description="GiB of main memory that an actor of the captioner is placed by",
    )
    captions: int = Field(default=50, ge=1, description="captions that are asked for")
    rounds: int = Field(
        default=3, ge=1, description="times that captions are asked for until enough fit"
    )
    chosen: int = Field(default=10, ge=1, description="captions that are painted, drawn at random")
    painter: str = Field(
        default="deepfloyd",
        description="'deepfloyd', 'flux', hub name or folder of a text-to-image pipeline, or 'demo'",
    )
    painter_memory: float = Field(
        default=0, ge=0, description="GiB of main memory that an actor of the painter is placed by"
    )
    offload: bool = Field(
        default=False,
        description="keep only the network at work on the GPU: less memory, more time",
    )
    each: int = Field(default=10, ge=1, description="pictures of every caption")
    witness: str = Field(
        default="",
        description="another CLIP that suggests what pictures show, MODEL:PRETRAINED, a folder, or 'demo'; "
        "empty: nobody (the demo's painter knows)",
    )


class Recipe(Config):
    """Everything that decides what a run computes. Defaults are the paper's where it has one."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="short name; the run is stored as name-fingerprint",
    )
    model: str = Field(description="open_clip architecture, local model folder, or 'demo'")
    pretrained: str | None = Field(default=None, description="open_clip tag or checkpoint file")
    images: str = Field(
        description="folder, picture or Parquet of pictures; 'demo' renders scenes of the demo world"
    )
    every: int = Field(default=1, ge=1, description="use every n-th picture (the authors: 250)")
    limit: int = Field(default=0, ge=0, description="use at most this many pictures; 0 means all")
    layers: tuple[int, ...] = Field(
        default=(), description="MLP layers, 0-based; empty means all but the last"
    )
    split: Split = Field(
        default="equal", description="layer-norm split: equal (Eq. 8-11) or centered"
    )
    normalize: bool = Field(default=True, description="divide effects by |M_image(I)|")
    top: int = Field(
        default=100, ge=2, description="top effects per neuron that give its direction (Sec. 3.3)"
    )
    pool: str = Field(
        default="words-30k",
        description="text pool: 'demo', words-N, a text file or URL (Sec. 4: 30k common words)",
    )
    preparation: Preparation = Field(
        default="unit", description="unit, centered, or authors (per-dimension norm, see docs)"
    )
    atoms: int = Field(default=128, ge=1, description="texts per neuron, m (Sec. 4: up to 128)")
    shard_size: int = Field(default=256, ge=1, description="pictures per shard")
    block: int = Field(default=256, ge=1, description="neurons per shard of the per-neuron stages")
    batch_size: int = Field(default=32, ge=1, description="pictures per forward pass")
    dtype: Literal["float32", "bfloat16"] = Field(default="float32", description="of the model")
    device: str = Field(default="auto", description="auto takes a GPU if there is one")
    words: int = Field(default=4, ge=1, description="top words that an explanation is scored by")
    seed: int = Field(default=0, ge=0, description="seed of the demo world's scenes")
    text_activation: Literal["trained", "gelu"] = Field(
        default="trained",
        description="of the text tower; gelu is what the authors' program runs OpenAI's QuickGELU weights with",
    )
    evaluation: Evaluation = Field(
        default_factory=Evaluation, description="how the paper's evidence is gathered"
    )
    attack: Attack = Field(
        default_factory=Attack, description="how semantic adversarial images are produced"
    )


RECIPES: dict[str, dict[str, Any]] = {
    # The embedded world: a small CLIP trained on rendered scenes; needs no download.
    "demo": {
        "name": "demo",
        "model": "demo",
        "images": "demo",
        "limit": 2000,
        "top": 40,  # 2 % of the pictures, as the paper's 100 are of its 5,000
        "pool": "demo",
        "atoms": 32,
        "batch_size": 64,
        "evaluation": {
            "images": "demo",
            "limit": 1000,
            "templates": "demo",
            "pools": ("demo", "words-10k", "class-descriptions"),
            "detail_layers": (0, 3),
            "sizes": (4, 8, 16, 32, 64),
            "indirect_images": 128,
        },
        "attack": {"sentences": "clip", "captioner": "demo", "painter": "demo"},
    },
    # The paper's main setting: OpenAI's ViT-B-32 on every 250th ImageNet training image.
    # A shard stores the top effects of every neuron (1 GB over all layers), hence few, large shards.
    "vit_b_32": {
        "name": "vit_b_32",
        "model": "ViT-B-32",
        "pretrained": "openai",
        "every": 250,
        "shard_size": 2048,
        "evaluation": {
            "every": 10,
            "classes": "imagenet",
            "neurons": tuple((9, n) for n in (4, 391, 2137, 2914, 600, 974, 1517, 2002)),
        },
        "attack": {"layers": (8, 9, 10)},
    },
    # The paper's appendix A.1: ViT-L-14 of LAION-2B. Its last seven layers with paths: the Gram matrices of all 23
    # would take 18 GB. Earlier ones run by --layers, a few at a time.
    "vit_l_14": {
        "name": "vit_l_14",
        "model": "ViT-L-14",
        "pretrained": "laion2b_s32b_b82k",
        "every": 250,
        "layers": tuple(range(16, 23)),
        "shard_size": 2048,
        "batch_size": 16,
        "evaluation": {"every": 10, "classes": "imagenet"},
    },
}
"""The named recipes; those for downloaded weights leave `images` to the caller."""


def named_recipe(name: str | None, options: Mapping[str, Any]) -> Recipe:
    """The recipe of this name or JSON file with some fields replaced; without a name, from the fields alone.

    Raises ValueError for an unknown name, a file that is no recipe, and fields that are missing or misspelt.
    """
    if name is None:
        return Recipe(**{"name": "run", **options})
    if name.endswith(".json"):
        return Recipe(**over({"name": Path(name).stem, **_from_file(Path(name))}, options))
    if name not in RECIPES:
        raise ValueError(
            f"there is no recipe {name!r}: expected {', '.join(RECIPES)} or a file ending in .json"
        )
    return Recipe(**over(RECIPES[name], options))


def over(fields: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with the options in their place; those of the evaluation and of the attack one by one."""
    nested = {
        name: {**fields.get(name, {}), **options.get(name, {})} for name in ("evaluation", "attack")
    }
    return {**fields, **options, **nested}


def _from_file(path: Path) -> dict[str, Any]:
    try:
        fields = json.loads(path.read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"the recipe {path} cannot be read as JSON: {error}") from error
    if not isinstance(fields, dict):
        raise ValueError(
            f"the recipe {path} holds no object: expected fields such as model and images"
        )
    return fields
