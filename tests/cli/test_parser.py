"""Words that mean nothing are refused in one line, before anything heavy is imported."""

import doctest

import pytest

from clipneuron.attack.inputs import check as check_attack
from clipneuron.cli import main
from clipneuron.config import kinds, recipe, suggestions
from tests.cli.user import imported_by
from tests.samples.world import finished

KINDS = {
    "run": kinds.SWEEP,
    "reproduce": kinds.EVIDENCE,
    "attack": kinds.ATTACK,
    "segment": kinds.SEGMENTATION,
}


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["rnu"], "clipneuron: there is no command 'rnu': expected one of plan, run"),
        (["rnu"], "did you mean run?"),
        (
            ["run", "--stor", "x"],
            "clipneuron run: there is no option --stor; did you mean --store?",
        ),
        (["run", "--store", "x", "--layer=6"], "no option --layer; did you mean --layers?"),
        (["--verson"], "clipneuron: there is no option --verson; did you mean --version?"),
        (["run", "--recipe", "demo"], "the following arguments are required: --store"),
        (
            ["run", "--store", "x", "--layers", "1-0"],
            "argument --layers: '1-0' is no list of layers",
        ),
        (
            ["run", "--store", "x", "--layers", "-3:"],
            "argument --layers: '-3:' counts from the end",
        ),
        (["run", "--store", "x", "--layers", "-3,-2"], "Write their numbers, such as 8-10"),
        (["run", "--store", "x", "--layers=-1"], "counts from the end"),
        (["run", "--store", "x", "--layers", "8:"], "argument --layers: '8:' counts from the end"),
        (["run", "--store", "x", "--layers", "last"], "'last' is no list of layers"),
        (
            ["reproduce", "--store", "x", "--detail-layers", "all"],
            "argument --detail-layers: 'all' is not possible here: expected 8,9,10 or 6-9",
        ),
        (
            ["run", "--store", "x", "--split", "eqal"],
            "'eqal' is no choice: expected equal, centered",
        ),
        (["run", "--store", "x", "--engine", "rey"], "expected ray, in-process; did you mean ray?"),
        (["run", "--store", "x", "--atoms", "x"], "argument --atoms: 'x' is no whole number"),
        (["run", "--store", "x", "--wait", "x"], "argument --wait: 'x' is no number"),
        (
            ["reproduce", "--store", "x", "--neurons", "9"],
            "'9' is no neuron: expected LAYER:NEURON",
        ),
        (
            ["run", "--store", "x", "--until", "efects"],
            "'efects' is no stage: expected plan, texts",
        ),
        (["run", "--store", "x", "--until", "efects"], "did you mean effects?"),
        (["run", "--store", "x", "more"], "clipneuron run: unrecognized arguments: more"),
        (["status", "demo", "--store", "x"], "clipneuron status: unrecognized arguments: demo"),
    ],
)
def test_a_wrong_word_gets_one_line(capsys, words, answer):
    with pytest.raises(SystemExit, match="2"):
        main(words)
    error = capsys.readouterr().err
    assert answer in error
    assert error.count("\n") == 1
    assert "--help`)" in error


@pytest.mark.parametrize("verb", KINDS)
def test_until_takes_every_kind_of_the_verbs_own_stages(verb, capsys):
    for kind in KINDS[verb]:
        with pytest.raises(SystemExit, match="2"):  # for the store that is not given
            main([verb, "--recipe", "demo", "--until", kind])
        assert "required: --store" in capsys.readouterr().err


def test_suggestions_are_the_nearest_word_or_none():
    assert doctest.testmod(suggestions).attempted > 0
    assert doctest.testmod(suggestions).failed == 0


@pytest.mark.process
def test_words_are_judged_and_stores_looked_after_without_heavy_libraries(tmp_path):
    """Their import takes seconds, which a person who mistyped, or asks for help or the status, does not have."""
    finished(tmp_path, "store")
    (tmp_path / "pictures.txt").write_text("no picture")
    demo = ["--recipe", "demo", "--store", "new"]
    own = [*demo, "--evaluation-images", "demo"]
    heavy = {"torch", "ray", "open_clip", "s3fs", "pandas", "transformers", "diffusers"}
    help_only = heavy | {"pyarrow", "rich", "numpy"}
    light = (["status"], ["verify"], ["vacuum"], ["tables"], ["tables", "norms"])
    commands = [
        (["--help"], 0, help_only),
        (["run", "--help"], 0, help_only),
        (["run", "--stor", "x"], 2, help_only),
        (["run", "--store", "new", "--until", "efects"], 2, help_only),
        (["run", "--recipe", "dem", "--store", "new"], 1, heavy),
        (["run", *demo, "--layers", "9-6"], 2, heavy),
        (["run", *demo, "--actors", "-1"], 1, heavy),
        (["run", *demo, "--images", "nowhere"], 1, heavy),
        (["run", *demo, "--pool", "nowhere.txt"], 1, heavy),
        (["run", *demo, "--device", "gpu"], 1, heavy),
        (["run", "--recipe", "demo", "--store", "pictures.txt"], 1, heavy),
        (["plan", "--recipe", "demo", "--images", "nowhere"], 1, heavy),
        (["reproduce", *own, "--pools", "nowhere.txt"], 1, heavy),
        (["reproduce", *own, "--pools", "class-descriptions:nowhere"], 1, heavy),
        (["reproduce", *own, "--templates", "nowhere.txt"], 1, heavy),
        (["reproduce", *own, "--classes", "nowhere.txt"], 1, heavy),
        (["reproduce", *own, "--evaluation-images", "nowhere"], 1, heavy),
        (["explain", *demo, "--explanation-images", "nowhere"], 1, heavy),
        (["explain", *demo, "--hypernyms", "nowhere.txt"], 1, heavy),
        (["explain", *demo, "--explanation-templates", "nowhere.txt"], 1, heavy),
        (["segment", *demo, "--segmentation-images", "x", "--masks", "nowhere"], 1, heavy),
        (["segment", *demo, "--method", "legrat"], 1, heavy),
        (["segment", *demo, "--protocols", "given"], 1, heavy),
        (["segment", "x.png", "--class", "dog", "--method", "lpr", "--store", "new"], 1, heavy),
        (["segment", "x.png", "--class", "dog", "--store", "new"], 1, heavy),
        (["concepts", *demo, "--concepts-images", "nowhere"], 1, heavy),
        (["concepts", *demo, "--concepts-hypernyms", "nowhere.txt"], 1, heavy),
        (["concepts", "pictures.txt", "--store", "new"], 1, heavy),
        (["concepts", "nowhere.png", "--store", "new"], 1, heavy),
        (["attack", *demo, "--pairs", "dog"], 1, heavy),
        (["attack", *demo, "--captioner", "answers:nowhere"], 1, heavy),
        (["attack", *demo, "--captioner", "http://host/v1"], 1, heavy),
        (["attack", *demo, "--attack-classes", "nowhere.txt"], 1, heavy),
        (["attack", *demo, "--blocked", "nowhere.txt"], 1, heavy),
        (["retry-failed", "--store", "nowhere"], 1, heavy),
        *(([*words, "--store", "store"], 0, heavy) for words in light),
    ]
    found = imported_by([words for words, _, _ in commands], tmp_path)
    assert [status for status, _ in found] == [status for _, status, _ in commands]
    for (words, _, spared), (_, imported) in zip(commands, found, strict=True):
        assert not spared & imported, words
    assert not (tmp_path / "new").exists()


def test_an_attacks_pairs_of_all_classes_need_two_of_them(tmp_path):
    (tmp_path / "one.txt").write_text("dog\n")
    asked = {"pairs": ("all",), "classes": str(tmp_path / "one.txt")}
    with pytest.raises(ValueError, match="at least 2 classes"):
        check_attack(
            recipe.Recipe(name="x", model="demo", images="demo", pool="demo", attack=asked)
        )
