"""The plan of a collection that grows and whose pictures are fixed: part after part, each once."""

from pathlib import Path

import pytest

from clipneuron.data.opening import open_collection
from clipneuron.data.plans import to_retry
from clipneuron.store.store import Run, Store
from clipneuron.sweep.stages.plan import PlanStage
from tests.samples.world import write_pictures


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Store(tmp_path / "store").open_run("plans", {"some": "thing"}, {})


def bring_up(stage: PlanStage, run: Run) -> list[str]:
    """Commits what is left of the stage; the names of what was done."""
    todo = [shard for shard in stage.shards(run) if not run.is_done("plan", shard.name)]
    for shard in todo:
        loaded = stage.loader(run).load(shard)
        counted: list[int] = []
        output = stage.build(stage.share(run)).process(loaded, counted.append)
        assert sum(counted) == shard.rows
        run.commit("plan", shard.name, output.tables)
    return [shard.name for shard in todo]


def stage_of(folder: Path, *again: tuple[str, str]) -> PlanStage:
    return PlanStage(open_collection(folder), 2, frozenset(again))


def rows(run: Run) -> list[tuple[int, str, str, int]]:
    table = run.read("plan", "plan", columns=["index", "image", "shard", "part"])
    return [tuple(row.values()) for row in table.to_pylist()]


def test_a_collection_is_planned_once_and_again_when_it_grows(tmp_path: Path, run: Run) -> None:
    pictures = write_pictures(tmp_path / "pictures", 3)
    assert bring_up(stage_of(pictures), run) == ["part-0000"]
    assert bring_up(stage_of(pictures), run) == []
    write_pictures(tmp_path / "more", 2)
    (tmp_path / "more/000.png").rename(pictures / "0000.png")
    (tmp_path / "more/001.png").rename(pictures / "009.png")
    stage = stage_of(pictures)
    assert [(shard.name, shard.rows) for shard in stage.shards(run)] == [
        ("part-0000", 3),
        ("part-0001", 2),
    ]
    assert bring_up(stage, run) == ["part-0001"]
    assert bring_up(stage, run) == []
    assert rows(run) == [
        (0, "000.png", "00000000", 0),
        (1, "001.png", "00000000", 0),
        (2, "002.png", "00000001", 0),
        (3, "0000.png", "00000002", 1),
        (4, "009.png", "00000002", 1),
    ]


def test_the_first_to_commit_a_part_decides_what_is_in_it(tmp_path: Path, run: Run) -> None:
    pictures = write_pictures(tmp_path / "pictures", 3)
    bring_up(stage_of(pictures), run)
    (pictures / "003.png").write_bytes((pictures / "000.png").read_bytes())
    slow = stage_of(pictures)
    part = slow.shards(run)[-1]
    output = slow.process(slow.loader(run).load(part), lambda rows: None)
    (pictures / "004.png").write_bytes((pictures / "000.png").read_bytes())
    quick = stage_of(pictures)
    assert bring_up(quick, run) == ["part-0001"]
    run.commit("plan", part.name, output.tables)
    assert [image for _, image, _, part in rows(run) if part] == ["003.png", "004.png"]
    (pictures / "004.png").unlink()
    shrunken = stage_of(pictures)
    with pytest.raises(ValueError, match=r"1 picture of the previous plan is gone .'004.png'"):
        shrunken.shards(run)


def test_failed_pictures_are_planned_again_once_per_failure(tmp_path: Path, run: Run) -> None:
    pictures = write_pictures(tmp_path / "pictures", 7)
    bring_up(stage_of(pictures), run)
    failed = {"00000002": {"005.png"}}
    again = to_retry(run.read("plan", "plan"), failed)
    assert again == {("005.png", "00000002")}
    (pictures / "005.png").write_bytes((pictures / "000.png").read_bytes())
    with pytest.raises(ValueError, match=r"1 picture has changed .*'005.png'"):
        stage_of(pictures).shards(run)
    stage = stage_of(pictures, *again)
    assert bring_up(stage, run) == ["part-0001"]
    assert bring_up(stage, run) == []
    assert rows(run)[-1] == (5, "005.png", "00000004", 1)
    assert to_retry(run.read("plan", "plan"), failed) == frozenset()
    failed["00000004"] = {"005.png"}
    second = to_retry(run.read("plan", "plan"), failed)
    assert bring_up(stage_of(pictures, *second), run) == ["part-0002"]
    assert bring_up(stage_of(pictures), run) == []
