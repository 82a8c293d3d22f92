"""Options are the configuration's fields: none is left out, the old spellings stay, and what is wrong is named."""

import doctest
import json
from typing import Any, Literal, get_args, get_origin

import pytest

from clipneuron.cli import build_parser, main
from clipneuron.cli.options import fields
from clipneuron.cli.options.fields import OPTIONS, SECTIONS
from clipneuron.cli.options.flags import cluster_of, recipe_of

VERBS = {
    "recipe": "run",
    "evaluation": "reproduce",
    "attack": "attack",
    "explanation": "explain",
    "segmentation": "segment",
    "concepts": "concepts",
    "atlas": "atlas",
    "cluster": "run",
}

RECIPE = (
    "atoms batch-size device dtype every extend image-column images label-column layers limit member model "
    "name-column no-normalize pool preparation pretrained recipe shard-size split store text-activation top"
)
ENGINE = "actor-cpus actor-gpus actors address attempts decoders engine max-failed-share wait"
ATTACK = (
    "attack-classes attack-layers attack-neurons blocked captioner captioner-memory captions chosen each "
    "indirect-images indirect-neurons methods offload painter painter-memory pairs repeats rule sentences similarity "
    "store witness words"
)
SPELT = {
    "plan": f"{RECIPE} classes evaluation-image-column evaluation-images no-sample sample",
    "run": f"{RECIPE} {ENGINE} show until",
    "reproduce": f"{RECIPE} {ENGINE} classes detail-layers evaluation-every evaluation-images evaluation-limit "
    "evaluation-image-column evaluation-label-column evaluation-member evaluation-name-column "
    "indirect-images indirect-neurons neurons pools reconstruction sizes templates until",
    "attack": f"{RECIPE} {ENGINE} {ATTACK} prompts until",
    "review": "attack export port reviewer run store",
    "trace": "run store to",
    "retry-failed": f"{ENGINE} device dry-run images run show store",
}
"""The options that had been written by hand, before they were made of the fields."""


def read(verb: str, *words: str) -> Any:
    return build_parser().read([verb, "--store", "x", *words])


def sample(kind: Any, field: str) -> tuple[list[str], Any]:
    """Words for a field of this kind, and the value that they mean."""
    if field in ("device", "name"):
        return (["cpu"], "cpu")
    if field.endswith("layers"):
        return (["1,3-4"], (1, 3, 4))
    if field == "memory":
        return (["24GB"], "24GB")
    if field == "protocols":
        return (["given/square/mean/nearest"], ("given/square/mean/nearest",))
    if kind == tuple[str, ...] and field == "methods":
        return (["lrp", "all"], ("lrp", "all"))
    kinds = {int: (["7"], 7), float: (["0.5"], 0.5), tuple[int, int]: (["9:4"], (9, 4))}
    if kind in kinds:
        return kinds[kind]
    if get_args(kind) == (int, type(None)):
        return kinds[int]
    if get_origin(kind) is tuple:
        words, value = sample(get_args(kind)[0], field)
        return (words * 2, (value,) * 2)
    if get_origin(kind) is Literal:
        return ([get_args(kind)[-1]], get_args(kind)[-1])
    return (["some"], "some")


def test_every_field_has_an_option_of_its_own():
    everything = {
        f"{section}.{field}"
        for section, config in SECTIONS.items()
        for field, about in config.model_fields.items()
        if about.annotation not in SECTIONS.values()
    }
    assert set(OPTIONS) == everything
    assert len(set(OPTIONS.values())) == len(OPTIONS)


@pytest.mark.parametrize("name", OPTIONS)
def test_what_an_option_says_is_what_its_field_gets(name):
    section, _, field = name.partition(".")
    kind = SECTIONS[section].model_fields[field].annotation
    words, value = sample(kind, field)
    if kind is bool:
        words, value = [], True
    chosen = read(VERBS[section], "--recipe", "demo", OPTIONS[name], *words)
    recipe = recipe_of(chosen)
    made = {"recipe": recipe, "cluster": cluster_of(chosen)}.get(section) or getattr(
        recipe, section
    )
    assert getattr(made, field) == value
    untouched = {"name": "demo", "model": "demo"}
    assert {field: getattr(recipe, field) for field in untouched} == untouched | (
        {field: value} if section == "recipe" and field in untouched else {}
    )


@pytest.mark.parametrize("verb", SPELT)
def test_old_spellings_stay(verb):
    known = build_parser().verbs[verb]._option_string_actions
    assert {f"--{option}" for option in SPELT[verb].split()} <= known.keys()


def test_old_words_mean_what_they_meant():
    chosen = read(
        "reproduce", "--recipe", "demo", "--layers", "6-9", "--no-normalize", "--pools", "a", "b"
    )
    more = read(
        "reproduce", "--recipe", "demo", "--neurons", "9:4", "9:391", "--evaluation-images", "y"
    )
    recipe, other = recipe_of(chosen), recipe_of(more)
    assert (recipe.layers, recipe.normalize) == ((6, 7, 8, 9), False)
    assert recipe.evaluation.pools == ("a", "b")
    assert other.evaluation.neurons == ((9, 4), (9, 391))
    assert (other.evaluation.images, other.images, other.evaluation.limit) == ("y", "demo", 1000)
    words = read(
        "attack", "--recipe", "demo", "--words", "6", "--attack-layers", "3,4", "--offload"
    )
    attack = recipe_of(words).attack
    assert (attack.words, attack.layers, attack.offload) == (6, (3, 4), True)
    assert recipe_of(words).words == 4


def test_help_is_the_fields_own(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["attack", "--help"])
    shown = "".join(capsys.readouterr().out.split())
    for section in ("recipe", "attack", "cluster"):
        for about in SECTIONS[section].model_fields.values():
            text = "".join(fields.as_options(about.description).split())
            assert about.annotation in SECTIONS.values() or text in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--atoms", "0"], "atoms (--atoms): Input should be greater than or equal to 1, not 0"),
        (["--methods", "randm"], "attack.methods (--methods): Input should be 'second-order'"),
        (["--methods", "randm"], "not 'randm'; did you mean random?"),
        (["--actor-cpus", "-1"], "actor_cpus (--actor-cpus): Input should be greater than"),
        (["--recipe", "vit_b_32"], "images: give it with --images, or take a --recipe that has it"),
        (["--device", "gpu"], "device (--device): there is no such device: expected auto, cpu"),
    ],
)
def test_a_wrong_value_is_named_by_field_and_option(tmp_path, capsys, words, message):
    assert main(["attack", "--recipe", "demo", "--store", str(tmp_path / "x"), *words]) == 1
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_misspelt_field_of_a_file_is_answered_with_the_nearest(tmp_path, capsys):
    file = tmp_path / "mine.json"
    file.write_text(
        json.dumps({"model": "demo", "images": "demo", "attack": {"method": ["random"]}})
    )
    assert main(["run", "--recipe", str(file), "--store", str(tmp_path / "x")]) == 1
    assert "attack.method: Extra inputs are not permitted" in (error := capsys.readouterr().err)
    assert "did you mean methods?" in error


def test_fields_in_messages_become_options():
    assert doctest.testmod(fields).attempted > 0
    assert doctest.testmod(fields).failed == 0
    assert (
        fields.as_options("`clipneuron run` and `recipe.nothing`")
        == "`clipneuron run` and `recipe.nothing`"
    )
