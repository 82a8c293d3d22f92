"""The recipes that have a name, and recipes read from files."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clipneuron.config.recipe import Recipe
from clipneuron.config.suggestions import suggestion
from clipneuron.config.values.protocols import DEFAULT as PROTOCOLS

RECIPES: dict[str, dict[str, Any]] = {
    # The embedded world: a small CLIP trained on rendered scenes; needs no download.
    "demo": {
        "name": "demo",
        "model": "demo",
        "images": "demo",
        "limit": 2000,
        "top": 40,  # 2 % of the pictures, as the paper's 100 are of its 5,000
        "pool": "demo",
        "negative_words": False,  # truer of this model: docs/method.md has the measurement
        "batch_size": 64,
        "evaluation": {
            "images": "demo",
            "limit": 1000,
            "templates": "demo",
            "pools": ("demo", "words-10k", "class-descriptions"),
            "detail_layers": (0, 5),
            "indirect_images": 128,
        },
        "explanation": {"images": "demo", "limit": 1000, "classes": "demo", "templates": "demo"},
        "attack": {"sentences": "clip", "captioner": "demo", "painter": "demo"},
        "segmentation": {
            "images": "demo",
            "masks": "demo",
            "limit": 1000,
            "classes": "demo",
            "templates": "demo",
            # Scenes are squares: masks that are squeezed into one lie where they should.
            "protocols": tuple(name for name in PROTOCOLS if "square" not in name),
            "neurons_per_class": 25,  # of 1,152, as the paper's 200 are of 9,216
        },
        "concepts": {
            "images": "demo",
            "limit": 1000,
            # In this model, words are true of neurons of all layers.
            "concept_layers": tuple(range(9)),
            "described": "short",
        },
    },
    # The paper's main setting: OpenAI's ViT-B-32 on every 250th ImageNet training image.
    # A shard stores the top effects of every neuron (1 GB over all layers), hence few, large shards.
    "vit_b_32": {
        "name": "vit_b_32",
        "model": "ViT-B-32",
        "pretrained": "openai",
        "every": 250,
        "shard_size": 2048,
        "batch_size": 64,  # what norms are taken from, 1.3 GB of all layers, is read once per batch
        "evaluation": {
            "every": 10,
            "classes": "imagenet",
            "neurons": tuple((9, n) for n in (4, 391, 2137, 2914, 600, 974, 1517, 2002)),
        },
        "attack": {"layers": (8, 9, 10)},
    },
    # The paper's appendix A.1: ViT-L-14 of LAION-2B. In float32, a pass over its 23 layers with paths would hold 30 GB;
    # in half precision they fit a GPU of 24 GB (docs/scale.md).
    "vit_l_14": {
        "name": "vit_l_14",
        "model": "ViT-L-14",
        "pretrained": "laion2b_s32b_b82k",
        "every": 250,
        "shard_size": 2048,
        "batch_size": 16,
        "memory": "20GB",
        "evaluation": {"every": 10, "classes": "imagenet"},
    },
}
"""The named recipes; those for downloaded weights leave `images` to the caller."""

SECTIONS = ("evaluation", "explanation", "attack", "segmentation", "concepts", "atlas")
"""Fields of a recipe that hold the fields of a line of work."""

_ENDINGS = (".json", ".toml")


def named_recipe(name: str | None, options: Mapping[str, Any]) -> Recipe:
    """The recipe of this name, file or JSON text with some fields replaced; without a name, from the fields alone.

    Raises ValueError for an unknown name, a file that is no recipe, and fields that are missing or misspelt.
    """
    if name is None:
        return Recipe(**{"name": "run", **options})
    return Recipe(**over(recipe_fields(name), options))


def recipe_fields(name: str) -> dict[str, Any]:
    """The fields of the recipe of this name, JSON or TOML file, or JSON text, with its name; raises ValueError."""
    if name.startswith("{"):
        return {"name": "run", **_from_text(name)}
    if name.endswith(_ENDINGS):
        return {"name": Path(name).stem, **_from_file(Path(name))}
    if name not in RECIPES:
        raise ValueError(_no_recipe(name))
    return dict(RECIPES[name])


def portable(name: str) -> str:
    """The same recipe for a machine that does not have its file; raises ValueError."""
    return json.dumps(recipe_fields(name)) if name.endswith(_ENDINGS) else name


def over(fields: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with the options in their place; those of each of the `SECTIONS` one by one."""
    nested = {name: _merged(fields.get(name, {}), options.get(name, {})) for name in SECTIONS}
    return {**fields, **options, **nested}


def _merged(section: Any, options: Mapping[str, Any]) -> Any:
    """The section with the options in its place; what is no section is left for the recipe to refuse."""
    return {**section, **options} if isinstance(section, Mapping) else section


def _from_file(path: Path) -> dict[str, Any]:
    read, form = (tomllib.loads, "TOML") if path.suffix == ".toml" else (json.loads, "JSON")
    try:
        fields = read(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise ValueError(f"the recipe {path} cannot be read as {form}: {error}") from error
    if not isinstance(fields, dict):
        raise ValueError(
            f"the recipe {path} holds no object: expected fields such as model and images"
        )
    return fields


def _from_text(text: str) -> dict[str, Any]:
    try:
        fields: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise ValueError(f"the recipe {text[:40]!r} cannot be read as JSON: {error}") from error
    return fields


def _no_recipe(name: str) -> str:
    """Why a name is neither that of a recipe nor of a file that can be one."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        return (
            f"the recipe {name} is YAML, which is not read: write it as TOML in {path.stem}.toml, a field a line such "
            'as model = "ViT-B-16" or layers = [8, 9, 10] and those of [attack], [concepts], [evaluation] and '
            "[explanation] below these headings, or as JSON"
        )
    known = f"{', '.join(RECIPES)} or a file ending in .json or .toml"
    return f"there is no recipe {name!r}: expected {known}" + suggestion(name, RECIPES)
