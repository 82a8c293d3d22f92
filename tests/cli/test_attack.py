"""`clipneuron attack`, `review` and `trace` as a user meets them, in the demo world."""

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.csv
import pytest
from PIL import Image

from clipneuron.attack.results import AttackResults
from clipneuron.attack.review import decisions as reviews
from clipneuron.cli import main
from clipneuron.store.errors import StoreError
from clipneuron.store.store import Run, Store
from tests.cli.user import settle

pytestmark = pytest.mark.slow

SMALL = ["--recipe", "demo", "--limit", "24", "--top", "4", "--layers", "3,4", "--atoms", "8"]
LINE = ["--pairs", "dog:deer", "ship:truck", "--methods", "second-order", "random", "similar"]
LINE += ["--repeats", "2", "--captions", "6", "--chosen", "2", "--each", "2", "--words", "6"]


def attack(store: Path, *more: str) -> int:
    words = ["attack", *SMALL, "--store", str(store), *LINE, "--engine", "in-process"]
    return main([*words, *more])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("attack") / "store"
    assert attack(place) == 0
    return place


def test_an_attack_ends_with_its_table_and_a_second_one_does_nothing(store, capsys):
    assert attack(store) == 0
    out = capsys.readouterr().out
    stages = out.split("table3.md: ")[0]
    assert stages.count("complete") >= 10
    assert "images/s" not in stages
    for word in ("dog", "deer", "second-order", "random", "similar"):
        assert word in out
    page = Path(out.split("table3.md: ")[1].splitlines()[0]).read_text()
    assert "ship" in page
    assert attack(store, "--grow") == 0
    assert capsys.readouterr().out.startswith("unchanged: demo-")
    (run,) = Store(store).runs()
    (pictures,) = [stage for stage in run.stages() if stage.startswith("pictures")]
    rows = run.read(pictures, "pictures").to_pylist()
    assert len(rows) == 2 * 3 * 2 * 2 * 2
    made = Image.open(io.BytesIO(rows[0]["image"]))
    assert rows[0]["caption"] in made.text.values()
    assert rows[0]["picture"] in made.text.values()


def test_a_picture_is_followed_back_to_neurons_and_their_pictures(store, capsys, tmp_path):
    picture = "dog:deer/second-order/1"
    (run,) = Store(store).runs()
    (stage,) = [stage for stage in run.stages() if stage.startswith("pictures")]
    ids = run.read(stage, "pictures", columns=["picture"])["picture"].to_pylist()
    chosen = next(each for each in ids if each.startswith(picture))
    trace = ["--store", str(store), "--to", str(tmp_path / "it.png")]
    assert main(["trace", chosen, *trace]) == 0
    out = capsys.readouterr().out
    for part in (chosen, "Words in the caption", "Neurons that gave them", "sha256"):
        assert part in out
    assert Image.open(tmp_path / "it.png").size == (64, 64)
    assert main(["trace", "dog:deer/second-order/9/0-0", *trace]) == 1
    assert "is no picture of the attacks of demo-" in capsys.readouterr().err


def test_decisions_are_exported(store, capsys, tmp_path):
    (run,) = Store(store).runs()
    (stage,) = [stage for stage in run.stages() if stage.startswith("pictures")]
    first = run.read(stage, "pictures", columns=["picture"])["picture"][0].as_py()
    reviews.decide(run, stage, "ada", first, "keep")
    to = tmp_path / "decisions.csv"
    words = ["review", "--store", str(store)]
    assert main([*words, "--export", str(to)]) == 0
    assert "1 decision" in capsys.readouterr().out
    assert pyarrow.csv.read_csv(to).to_pylist()[0]["picture"] == first
    copy = shutil.copytree(store, tmp_path / "copy")
    shutil.rmtree(copy / run.name / "reviews")
    reviews.decide(Store(copy).runs()[0], stage, "alan", first, "keep")
    words[-1] = str(copy)
    assert main([*words, "--import", str(to)]) == 0
    assert ": 1 of 1 decision\n" in capsys.readouterr().out
    assert main([*words, "--export", str(tmp_path / "both.parquet")]) == 0
    assert "ada and alan agree on 1 of 1\n" in capsys.readouterr().out
    assert main(words) == 1
    assert "--reviewer" in capsys.readouterr().err


@pytest.mark.process
def test_review_and_trace_need_the_store_alone(store, tmp_path):
    """Not the pictures that were swept, which may have moved, nor the model, whose libraries take seconds."""
    moved = shutil.copytree(store, tmp_path / "moved")
    shutil.rmtree(moved / "pictures")
    (run,) = Store(moved).runs()
    (results,) = run.results(AttackResults)
    picture = run.read(results.pictures, "pictures", columns=["picture"])["picture"][0].as_py()
    place = ["--store", str(moved)]
    commands = [
        ["trace", picture, *place],
        ["review", *place, "--reviewer", "ada", "--export", str(tmp_path / "all.parquet")],
    ]
    program = (
        "import sys\nfrom clipneuron.cli import main\n"
        f"assert [main(words) for words in {commands!r}] == [0, 0]\n"
        "print(sorted({'torch', 'open_clip', 'ray'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_picture_of_an_earlier_attack_is_found_without_its_options(store, capsys):
    """The last one asked for other pairs, methods and repeats, and has not painted anything yet."""
    (run,) = Store(store).runs()
    earlier = run.results(AttackResults)[0]
    picture = run.read(earlier.pictures, "pictures", columns=["picture"])["picture"][0].as_py()
    few = ["--pairs", "dog:deer", "--methods", "second-order", "--repeats", "1"]
    assert attack(store, *few, "--until", "words") == 0
    last = run.results(AttackResults)[0]
    assert last != earlier
    capsys.readouterr()
    assert main(["trace", picture, "--store", str(store)]) == 0
    assert picture in capsys.readouterr().out
    assert main(["trace", picture.replace("dog:", "dog:cat:"), "--store", str(store)]) == 1
    error = capsys.readouterr().err
    assert "is no picture of the attacks" in error
    assert "there are dog:deer/" in error
    to = store.parent / "all.csv"
    assert main(["review", "--store", str(store), "--export", str(to)]) == 0
    assert f"{last.name} has no verdicts yet; this is {earlier.name}" in capsys.readouterr().err


def test_the_reviews_address_is_written_at_once_though_nobody_looks(store, monkeypatch):
    written, seen = io.BytesIO(), []
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BufferedWriter(written)))
    page = "clipneuron.attack.review.server.Review.wait"
    monkeypatch.setattr(page, lambda self: seen.append((self.url, written.getvalue().decode())))
    assert main(["review", "--store", str(store), "--reviewer", "ada"]) == 0
    [(url, printed)] = seen
    assert f"review at {url}" in printed


def test_another_clip_may_be_the_witness(store, tmp_path, capsys):
    few = ["--pairs", "dog:deer", "--methods", "similar", "--repeats", "1"]
    placed = ["--captioner-memory", "0.1", "--painter-memory", "0.2"]
    assert attack(store, *few, "--witness", "demo", *placed) == 1
    assert "the witness demo is the very model that is attacked" in capsys.readouterr().err
    assert attack(store, *few, "--witness", "ViT-B-32:laoin2b", *placed) == 1
    assert "'laoin2b' is neither a known tag nor a file" in capsys.readouterr().err
    other = str(settle(tmp_path / "other") / "model")
    assert attack(store, *few, "--witness", other, *placed) == 0
    run = Store(store).runs()[0]
    said = [
        set(run.read(stage, "screening")["by"].to_pylist())
        for stage in run.stages()
        if stage.startswith("screening")
    ]
    assert {"model"} in said
    assert {"scene-truth"} in said


def test_captions_may_be_written_elsewhere(store, capsys, tmp_path):
    requests, answers = tmp_path / "prompts.jsonl", tmp_path / "answers.jsonl"
    few = ["--pairs", "dog:deer", "--methods", "similar", "--repeats", "1"]
    assert attack(store, *few, "--prompts", str(requests)) == 0
    assert "1 request" in capsys.readouterr().out
    (line,) = map(json.loads, requests.read_text().splitlines())
    line["answer"] = "1. a dog on grass\n2. a dog and a tree\n3. a deer and a dog"
    answers.write_text(json.dumps(line))
    assert attack(store, *few, "--captioner", f"answers:{answers}", "--until", "pictures") == 0
    run = Store(store).runs()[0]
    written = {
        row["caption"]: row["status"]
        for stage in run.stages()
        if stage.startswith("captions")
        for row in run.read(stage, "captions").to_pylist()
        if row["captioner"].startswith("answers-")
    }
    assert written == {
        "a dog on grass": "ok",
        "a dog and a tree": "ok",
        "a deer and a dog": "names-c2",
    }
    # A caption may hold none of the words that were asked for, and its picture has a history all the same.
    assert main(["trace", "dog:deer/similar/0/0-0", "--store", str(store)]) == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--pairs", "dog"], "'dog' is no pair of classes: expected c1:c2"),
        (["--pairs", "dog:dog"], "is no pair of classes"),
        (["--attack-layers", "2"], "not among the layers of the run"),
        (["--captioner", "answers:no.jsonl"], "no.jsonl"),
        (["--captioner", "http://host/v1"], "which model answers"),
        (["--methods", "third-order"], "attack.methods"),
        (["--blocked", "nowhere.txt"], "nowhere.txt"),
        (["--attack-classes", "nowhere.txt"], "nowhere.txt"),
    ],
)
def test_a_wrong_word_is_one_clear_sentence(tmp_path, capsys, words, says):
    assert attack(tmp_path / "wrong", *words) == 1
    error = capsys.readouterr().err
    assert error.startswith("clipneuron: ")
    assert "Traceback" not in error
    assert says in error
    assert not list((tmp_path / "wrong").glob("*/data"))


def test_what_is_named_is_looked_for_before_any_work_unless_it_is_not_needed(
    store, capsys, tmp_path
):
    store = shutil.copytree(store, tmp_path / "copy")
    nobody = ["--captioner", "http://127.0.0.1:9/v1#model"]
    assert attack(store, *nobody, "--until", "words") == 0
    (run,) = Store(store).runs()
    stages = run.stages()
    capsys.readouterr()
    assert attack(store, *nobody) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "no language model answers at http://127.0.0.1:9/v1" in error
    assert "the address in --captioner" in error
    assert run.stages() == stages
    assert run.stages_with_failures() == []
    assert attack(store, "--painter", str(store / "no" / "painter")) == 1
    assert "check the path in --painter" in capsys.readouterr().err


def test_reports_do_without_pictures_that_are_out_of_reach(store, capsys, monkeypatch, tmp_path):
    read = Run.read

    def damaged(run, stage, table, *, columns=None, **more):
        if columns and "image" in columns and table == "pictures":
            raise StoreError("the disk is gone")
        return read(run, stage, table, columns=columns, **more)

    (run,) = Store(store).runs()
    stage = run.results(AttackResults)[0].pictures
    picture = run.read(stage, "pictures", columns=["picture"])["picture"][0].as_py()
    monkeypatch.setattr(Run, "read", damaged)
    assert attack(store) == 0
    assert "table3.md: " in capsys.readouterr().out
    words = ["trace", picture, "--store", str(store)]
    assert main(words) == 0
    assert "the disk is gone" in capsys.readouterr().out
    assert main([*words, "--to", str(tmp_path / "it.png")]) == 1
    assert "has no picture to write: the disk is gone" in capsys.readouterr().err
