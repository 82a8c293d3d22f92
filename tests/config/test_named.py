"""Recipes stay what they are: a changed default is a changed experiment."""

import doctest
import json

import pytest
from pydantic import ValidationError

from clipneuron.config.named import RECIPES, named_recipe
from clipneuron.config.recipe import Recipe
from clipneuron.config.values import layers

PAPER = {
    "split": "equal",
    "normalize": True,
    "top": 100,
    "pool": "words-30k",
    "preparation": "unit",
    "atoms": None,  # 128 in the 512 and 768 dimensions of these models
    "every": 250,
    "limit": 0,
    "dtype": "float32",
}


@pytest.mark.parametrize(
    ("name", "model", "tag", "layers"),
    [
        ("vit_b_32", "ViT-B-32", "openai", ()),
        ("vit_l_14", "ViT-L-14", "laion2b_s32b_b82k", ()),
    ],
)
def test_the_papers_settings_are_frozen(name, model, tag, layers):
    recipe = named_recipe(name, {"images": "imagenet"})
    assert (recipe.model, recipe.pretrained, recipe.layers) == (model, tag, layers)
    assert {field: getattr(recipe, field) for field in PAPER} == PAPER


def test_the_papers_model_and_attack_are_known():
    images = {"images": "imagenet"}
    papers = named_recipe("vit_b_32", images)
    assert (papers.is_papers_model, papers.is_papers_attack) == (True, True)
    flux = named_recipe("vit_b_32", images | {"attack": {"painter": "flux"}})
    assert (flux.is_papers_model, flux.is_papers_attack) == (True, False)
    others = (
        named_recipe("vit_l_14", images),
        named_recipe("demo", {}),
        papers.model_copy(update={"pretrained": "laion2b_e16"}),
    )
    assert not any(recipe.is_papers_model or recipe.is_papers_attack for recipe in others)


def test_the_demo_needs_nothing_but_its_name():
    recipe = named_recipe("demo", {})
    assert (recipe.model, recipe.images, recipe.pool, recipe.limit) == (
        "demo",
        "demo",
        "demo",
        2000,
    )


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "demo"])
def test_recipes_for_downloaded_weights_ask_for_pictures(name):
    with pytest.raises(ValidationError, match="images"):
        named_recipe(name, {})


def test_options_replace_a_recipes_fields_and_a_file_is_a_recipe(tmp_path):
    file = tmp_path / "late-layers.json"
    file.write_text(json.dumps({"model": "demo", "images": "demo", "layers": [3, 4], "atoms": 7}))
    recipe = named_recipe(str(file), {"atoms": 9})
    assert (recipe.name, recipe.layers, recipe.atoms) == ("late-layers", (3, 4), 9)


def test_a_toml_file_is_a_recipe_with_its_sections(tmp_path):
    file = tmp_path / "late.toml"
    lines = ['model = "demo"', 'images = "demo"', 'layers = "3-4"', "[attack]", 'layers = "all"']
    file.write_text("\n".join([*lines, "[evaluation]", "sizes = [4, 8]"]), encoding="utf-8-sig")
    recipe = named_recipe(str(file), {"atoms": 9})
    assert (recipe.name, recipe.layers, recipe.atoms) == ("late", (3, 4), 9)
    assert (recipe.attack.layers, recipe.evaluation.sizes) == ((), (4, 8))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("mine.yaml", r"mine\.yaml is YAML, which is not read: write it as TOML in mine\.toml"),
        ("mine.yml", "or as JSON"),
        ("mine.ini", r"expected demo, vit_b_32, vit_l_14 or a file ending in \.json or \.toml"),
        ("demos", "did you mean demo"),
        ("mine.toml", r"mine\.toml cannot be read as TOML: .*line 2"),
        ("mine.json", r"mine\.json cannot be read as JSON: .*line 1"),
    ],
)
def test_what_is_no_recipe_is_answered_with_what_to_write(tmp_path, monkeypatch, name, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text('model: "demo"\n' if "toml" not in name else 'a = 1\nmodel: "x"')
    with pytest.raises(ValueError, match=says):
        named_recipe(name, {})


def test_layers_are_numbers_a_text_or_all():
    fields = {"name": "x", "model": "demo", "images": "demo"}
    late = named_recipe("vit_l_14", {"images": "x", "layers": "all"})
    assert late.layers == ()
    assert Recipe(**fields, layers="0,2-3").layers == (0, 2, 3)
    for wrong in ([-1], "-3:", "8:", (3, -2)):
        with pytest.raises(ValidationError, match="counts from the end"):
            Recipe(**fields, layers=wrong)


def test_the_examples_of_layers_hold():
    assert doctest.testmod(layers).attempted == 2
    assert doctest.testmod(layers).failed == 0


@pytest.mark.parametrize("content", ["", "[1, 2]", "{"])
def test_a_file_that_is_no_recipe_is_refused(tmp_path, content):
    file = tmp_path / "mine.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=r"mine\.json"):
        named_recipe(str(file), {})


@pytest.mark.parametrize("section", ['"demo"', "null", "[]"])
def test_a_section_that_is_none_is_refused_in_words(tmp_path, section):
    file = tmp_path / "mine.json"
    file.write_text(f'{{"model": "demo", "images": "demo", "attack": {section}}}')
    with pytest.raises(ValueError, match="attack"):
        named_recipe(str(file), {})
