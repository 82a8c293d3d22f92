"""`clipneuron plan` says what `run` then does, and writes nothing but the plan."""

import io
import json
import re
import shutil
import tarfile

import pytest

from clipneuron.cli import main
from clipneuron.readers.sweep import Planned
from clipneuron.store.store import Store
from clipneuron.sweep.forecast import ahead, expected, sample_of
from tests.cli.test_status import row
from tests.cli.user import recipe, run
from tests.samples.world import finished, write_pictures

pytestmark = pytest.mark.slow


def plan(place, *more: str) -> int:
    return main(["plan", *recipe(place), *more])


def test_without_a_store_nothing_is_written(place, capsys):
    before = sorted(path for path in place.rglob("*"))
    assert plan(place, "--no-sample") == 0
    out = capsys.readouterr().out
    assert "12 images in 3 shards of up to 4" in out
    assert sorted(path for path in place.rglob("*")) == before


def test_a_committed_plan_is_what_run_goes_on_from(place, capsys):
    assert plan(place, "--sample", "4", "--store", str(place / "planned")) == 0
    out = capsys.readouterr().out
    assert re.search(r"measured on 4 pictures, of which one takes [\d,.]+ ms to read", out)
    stages = out.split("Stages to come")[1]
    rows = {name: row(stages, name)[1] for name in ("texts", "calibrate", "effects")}
    assert rows == {"texts": "10 texts", "calibrate": "12 images", "effects": "12 images"}
    for name in ("directions", "descriptions"):
        stage, neurons, _, seconds = row(stages, name)
        assert (stage, neurons) == (name, "128 neurons")
        assert re.fullmatch(r"[\d.]+ s", seconds)
    planned = Store(place / "planned").find_run("run")
    assert planned.stages() == ["plan"]
    marker = planned.objects.get("commits/plan/part-0000.json")
    assert main(["status", "--store", str(place / "planned")]) == 3
    assert row(capsys.readouterr().out, "effects")[1:3] == ["waiting", "0/3"]
    assert run(place, store="planned") == 0
    assert planned.objects.get("commits/plan/part-0000.json") == marker
    assert len(Store(place / "planned").runs()) == 1
    capsys.readouterr()
    assert plan(place, "--store", str(place / "planned")) == 0
    assert "nothing new" in capsys.readouterr().out


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.mark.parametrize("bad", [3, 12])
def test_what_of_the_sample_cannot_be_used_is_said_with_what_a_run_would_do(
    place, tmp_path, capsys, bad
):
    shutil.copytree(place / "pictures", tmp_path / "pictures")
    for number in range(bad):
        (tmp_path / "pictures" / f"{number:03d}.png").write_bytes(POINTER)
    assert plan(place, "--images", str(tmp_path / "pictures")) == 0
    out = capsys.readouterr().out
    cut = 0 if bad == 12 else 1  # number 5 is cut off
    assert f"{bad + cut} of 12 pictures of the sample: {bad} not_an_image (such as 000.png" in out
    assert "it is a Git LFS pointer: `git lfs pull`" in out
    assert "would be refused: it stops above 10%" in out
    assert ("to read and decode" in out) == (bad < 12)


@pytest.mark.slow
@pytest.mark.parametrize("split", ["equal", "centered"])
def test_the_rows_it_foretells_are_those_that_come(tmp_path, split):
    pictures = write_pictures(tmp_path / "pictures", 70)
    shutil.copy(pictures / "000.png", pictures / "005.png")
    sweep, done = finished(tmp_path, split=split)
    sample = sample_of(sweep, 16)
    coming = {item.stage: item for item in ahead(sweep, 70, sample)}
    assert "texts" not in coming, "they are encoded already"
    for stage in sweep.stages(Planned.of(done)).all:
        if item := coming.pop(stage.kind, None):
            assert item.rows == sum(shard.rows for shard in stage.shards(done))
            assert item.unit == stage.unit
            assert 0 < item.seconds < 60
    assert not coming
    foretold = expected(sweep, pictures=70, shards=18, sample=sample)
    assert {item.stage for item in foretold} >= {"merge-1", "effects", "calibrate"}
    stages = {stage.partition("-")[0]: stage for stage in done.stages()} | {"merge-1": "merge-1"}
    for item in foretold:
        commits = done.committed(stages[item.stage]).values()
        stored = [
            entry for commit in commits for entry in commit.objects if entry.table == item.table
        ]
        rows = sum(entry.rows for entry in stored)
        # Ill-conditioned descriptions give no words.
        assert 0 < rows <= item.rows if item.table == "neuron_words" else rows == item.rows, item
        if item.stage in ("calibrate", "effects"):
            assert 0.3 < item.size / sum(entry.size for entry in stored) < 3, item


def test_a_collection_that_grew_gets_a_part_and_run_sweeps_it(place, capsys):
    store = ["--store", str(place / "grown")]
    assert run(place, "--limit", "10", "--until", "effects", store="grown") == 0
    name = Store(place / "grown").find_run("run").name
    capsys.readouterr()
    assert plan(place, "--no-sample", "--extend", name, *store) == 0
    out = capsys.readouterr().out
    assert "2 images in 1 shard of up to 4" in out
    assert "2 parts" in out
    assert "means" not in out, "a run that grows keeps them"
    grown = Store(place / "grown").find_run(name)
    assert list(grown.committed("plan")) == ["part-0000", "part-0001"]
    means = sorted(grown.objects.entries("data/calibrate/"))
    assert main(["status", *store]) == 3
    assert row(capsys.readouterr().out, "effects")[1:3] == ["stopped", "3/4"]
    assert run(place, "--extend", name, store="grown") == 0
    norms = grown.read("effects", "norms", columns=["index", "image", "status"]).to_pylist()
    assert [item["index"] for item in norms] == list(range(12))
    assert sorted(grown.objects.entries("data/calibrate/")) == means
    counts = grown.read(grown.stage("directions"), "directions", columns=["count"])["count"]
    assert set(counts.to_pylist()) == {11}
    assert main(["status", *store]) == 0


def test_tars_are_planned_with_their_classes(place, capsys):
    with tarfile.open(place / "pictures.tar", "w") as tar:
        for number in range(4):
            for suffix, data in (
                ("png", (place / "pictures" / f"{number:03d}.png").read_bytes()),
                ("cls", str(number % 2).encode()),
            ):
                entry = tarfile.TarInfo(f"{number:03d}.{suffix}")
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
    assert plan(place, "--images", str(place / "pictures.tar"), "--no-sample") == 0
    out = capsys.readouterr().out
    assert "4 images in 1 shard" in out
    assert "classes   2" in out


def test_the_join_of_folders_with_a_list_of_names_is_shown(place, capsys):
    for number in range(11):
        write_pictures(place / "numbered" / str(number), 1, seed=number)
    names, other = place / "names.txt", place / "other.txt"
    names.write_text("\n".join(f"thing {number}" for number in range(11)))
    other.write_text("one\ntwo\n")
    labelled = ["--evaluation-images", str(place / "numbered"), "--no-sample", "--classes"]
    assert plan(place, *labelled, str(names)) == 0
    out = capsys.readouterr().out
    assert "11 images; 11 of 11 classes, joined by number" in out
    assert re.search(r"10 +│ thing 10 +│ 10/000.png", out)
    assert plan(place, *labelled, str(other)) == 1
    error = capsys.readouterr().err
    assert f"--classes {other}: the classes of the pictures are numbered from 0 to 10" in error


def test_options_of_columns_reach_the_pictures(place, capsys):
    words = ["--no-sample", "--image-column", "picture"]
    assert plan(place, *words) == 1
    assert (
        "--image-column names a column of Parquet files, and there are none"
        in capsys.readouterr().err
    )


def test_the_demos_pictures_leave_no_trace_without_a_store(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    words = ["plan", "--recipe", "demo", "--limit", "6", "--sample", "4", "--layers", "4"]
    assert main(words) == 0
    assert "6 images in 1 shard" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--extend", "run"], "--store"),
        (["--images", "no/such/place"], "there is nothing at"),
        (["--device", "gpu"], "expected auto, cpu"),
    ],
)
def test_a_wrong_word_is_one_clear_sentence(place, capsys, words, says):
    assert plan(place, *words) == 1
    error = capsys.readouterr().err
    assert error.startswith("clipneuron: ")
    assert says in error


def test_json_recipes_are_planned_alike(place, capsys):
    fields = dict(zip(recipe(place)[::2], recipe(place)[1::2], strict=True))
    texts = {name.removeprefix("--").replace("-", "_"): value for name, value in fields.items()}
    numbers = {name: int(value) for name, value in texts.items() if value.isdigit()}
    (place / "mine.json").write_text(json.dumps({**texts, **numbers}))
    assert main(["plan", "--recipe", str(place / "mine.json"), "--no-sample"]) == 0
    assert "12 images in 3 shards of up to 4" in capsys.readouterr().out
