"""`clipneuron reproduce` as a user meets it: its report, its refusals, its second run."""

import json
from pathlib import Path

import pytest
from PIL import Image

from clipneuron.cli import main
from tests.cli.user import recipe
from tests.samples.world import write_labelled

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def labelled(place: Path) -> Path:
    return write_labelled(place / "labelled")


def reproduce(place: Path, *more: str, store: str = "store") -> int:
    own = ["--engine", "in-process", "--store", str(place / store)]
    asked = ["--evaluation-images", str(place / "labelled"), "--pools", str(place / "texts.txt")]
    asked += ["--sizes", "1", "3", "--indirect-neurons", "2", "--indirect-images", "4"]
    return main(["reproduce", *recipe(place), *own, *asked, *more])


def test_the_evidence_ends_with_a_report_and_a_second_run_does_nothing(place, labelled, capsys):
    assert reproduce(place, "--neurons", "0:3", "1:5") == 0
    out = capsys.readouterr().out
    assert "The paper's claims" in out
    page = Path(out.split("report: ")[1].strip())
    text = page.read_text()
    for part in ("Fig. 3", "Fig. 4", "Fig. 10", "Table 1", "cat/005.png", "truncated"):
        assert part in text, part
    for picture in page.parent.glob("*.png"):
        assert Image.open(picture).size[0] > 300
        assert picture.name in text
    claims = json.loads((page.parent / "claims.json").read_text())
    assert len(claims) > 10
    left = [row["statement"] for row in claims if "not computed" in row["verdict"]]
    assert left == [said for said in left if said.startswith("Full descriptions")], "one pool"
    assert reproduce(place, "--neurons", "0:3", "1:5") == 0
    again = capsys.readouterr().out
    stages = again.split("The paper's claims")[0]
    assert stages.count("complete") == again.count("complete") > 10
    assert "images/s" not in stages


def test_until_stops_after_the_ablations(place, labelled, capsys):
    assert reproduce(place, "--until", "ablations", store="until") == 0
    out = capsys.readouterr().out
    assert "│ ablations " in out
    assert "first-order" not in out
    assert "tables: " in out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--evaluation-images", "no/such/folder"], "there is nothing at"),
        (
            ["--classes", "imagenet"],
            "--classes imagenet: the pictures have 3 classes and the list has 1000",
        ),
        (["--detail-layers", "2"], "not among the layers of the run"),
        (
            ["--sizes", "1", "99"],
            "asks for descriptions of 99 texts in a joint space of 12 dimensions",
        ),
        (["--neurons", "1:64"], "not in the run: it has layers [0, 1] of 64 neurons"),
        (["--pools", "class-descriptions"], "class-descriptions:ANSWERS.jsonl"),
        (["--pools", "class-descriptions:no.jsonl"], "no.jsonl"),
        (["--templates", "nowhere.txt"], "nowhere.txt"),
        (["--evaluation-every", "3", "--indirect-images", "1"], "greater than or equal to 2"),
    ],
)
def test_a_wrong_word_is_one_clear_sentence(place, labelled, capsys, words, says):
    assert reproduce(place, *words, store="wrong") == 1
    error = capsys.readouterr().err
    assert error.startswith("clipneuron: ")
    assert "Traceback" not in error
    assert says in error
    assert not list((place / "wrong").glob("*/data"))


def test_pictures_without_labels_are_refused(place, capsys):
    assert reproduce(place, "--evaluation-images", str(place / "pictures"), store="wrong") == 1
    error = capsys.readouterr().err
    assert (
        "have no labels (12 of 12 pictures are in no folder): put each class into a folder" in error
    )


def test_a_file_of_classes_must_count_every_line(place, labelled, capsys):
    (place / "classes.txt").write_text("bird\ncat\ncat\n")
    assert reproduce(place, "--classes", str(place / "classes.txt"), store="wrong") == 1
    assert "every line needs a name of its own" in capsys.readouterr().err


def test_labelled_pictures_must_be_named(place, capsys):
    own = ["--engine", "in-process", "--store", str(place / "wrong")]
    assert main(["reproduce", *recipe(place), *own]) == 1
    assert "give --evaluation-images" in capsys.readouterr().err


def test_requests_for_class_descriptions_are_answered_into_a_pool(place, labelled, capsys):
    requests, answers = place / "prompts.jsonl", place / "answers.jsonl"
    (place / "names.txt").write_text("bird\ncat\nsea\n")
    words = ["class-prompts", "--classes", str(place / "names.txt"), "--to", str(requests)]
    assert main(words) == 0
    lines = [json.loads(line) for line in requests.read_text().splitlines()]
    assert len(lines) == 3
    said = "1. Photo with feathers\n2. Image with claws\n3. Picture of the open air"
    answered = [{**line, "answer": f"{said} {number}"} for number, line in enumerate(lines)]
    answers.write_text("\n".join(map(json.dumps, answered)))
    pools = ["--pools", f"class-descriptions:{answers}", "--classes", str(place / "names.txt")]
    capsys.readouterr()
    more = ["--until", "ablations", "--sizes", "1", "2"]
    assert reproduce(place, *pools, *more, store="described") == 0
    assert "class-descriptions (5, dropped: 4 duplicate)" in capsys.readouterr().err
    assert main(words) == 1
    assert "exists already" in capsys.readouterr().err
