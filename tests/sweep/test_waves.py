"""A large sweep keeps only what can still be among a neuron's top pictures, and its results are the same to the bit."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest

from clipneuron.engine.attempts import Ending
from clipneuron.engine.in_process import InProcess
from clipneuron.engine.runner import RunIncompleteError
from clipneuron.engine.stage import Advance, Shard, Stage
from clipneuron.store.store import Run
from clipneuron.sweep.waves import ENDS, Wave, kept, sizes, waves
from tests.engine.fakes import tables_of
from tests.samples.world import finished, quiet_runner, sweep_of, write_pictures

SHARD, TOP = 4, 3
FINAL = ("calibrate", "directions", "descriptions")
"""Stages whose bytes are those of a sweep that keeps everything; of `effects`, all tables but one."""


def shards_of(count: int, rows: int, first: int = 0) -> list[Shard]:
    return [Shard(f"{number:08d}", rows) for number in range(first, first + count)]


def names(found: Sequence[Wave]) -> list[list[str]]:
    return [[shard.name for shard in wave.shards] for wave in found]


def test_a_collection_within_the_first_wave_is_swept_as_ever():
    small = shards_of(ENDS[0] // 2048, 2048)
    assert waves([small]) == [Wave(tuple(small), ())]
    assert kept(ENDS[0], len(small), 100) == 100 * len(small)


def test_the_first_wave_is_spread_over_the_collection_and_every_shard_is_in_one():
    shards = shards_of(626, 2048)
    found = waves([shards])
    first, second, rest = names(found)
    assert [len(first), len(second), len(rest)] == [8, 56, 562]
    assert sorted(first + second + rest) == [shard.name for shard in shards]
    assert all(wave == sorted(wave) for wave in (first, second, rest))
    assert [list(wave.before) for wave in found] == [[], first, first + second]
    places = [int(name) for name in first]
    gaps = [b - a for a, b in zip([-1, *places], [*places, 626], strict=True)]
    assert max(gaps) <= 2 * 626 / 8


def test_what_is_added_changes_nothing_for_what_was_planned():
    """Somebody may be at work on the first part alone, and its results are without the others' pictures."""
    first, added = shards_of(100, 2048), shards_of(30, 1024, first=100)
    before, after = waves([first]), waves([first, added])
    assert after[:2] == before[:2]
    assert after[2].before == before[2].before  # what is added is beside the first part's rest
    assert after[2].shards == (*before[2].shards, *added)
    between = [shards_of(10, 2048), shards_of(1, 2048, first=10), shards_of(80, 2048, first=11)]
    part = {shard.name: number for number, shards in enumerate(between) for shard in shards}
    for wave in waves(between):
        first_part = min(part[shard.name] for shard in wave.shards)
        assert all(part[name] <= first_part for name in wave.before)


def test_parts_of_a_small_collection_that_has_grown_fill_the_first_wave():
    first, added = shards_of(2, 2048), shards_of(40, 2048, first=2)
    found = waves([first, added])
    assert len(found[0].shards) == 8
    assert names(found)[0][:2] == [shard.name for shard in first]


def test_many_small_parts_are_swept_side_by_side():
    """As of a collection that grows day by day, planned anew after some time."""
    assert len(waves([shards_of(1, 100, first=number) for number in range(100)])) == 1
    whole = [shards_of(65, 2048), *(shards_of(1, 100, first=65 + number) for number in range(100))]
    assert len(waves(whole)) == 3


@pytest.mark.parametrize("pictures", [0, 1, 5_000, 16_384, 16_385, 131_072, 200_001])
@pytest.mark.parametrize("size", [100, 2048, 40_000])
def test_the_shards_of_each_wave_can_be_told_without_a_plan(pictures: int, size: int):
    starts = range(0, pictures, size)
    shards = [Shard(f"{start:08d}", min(size, pictures - start)) for start in starts]
    planned = [len(wave.shards) for wave in waves([shards])]
    told = [count for count in sizes(pictures, size) if count]
    assert sum(told) == len(shards)
    # The last shard, which may be a small one, can be in any wave.
    assert all(abs(a - b) <= 1 for a, b in zip(told, planned, strict=True))


class Backwards(InProcess):
    """Two workers, of which the second takes its shards first, and both in turned order."""

    def execute(
        self, stage: Stage, run: Run, todo: Sequence[Shard], advance: Advance
    ) -> Iterator[Ending]:
        for some in (todo[1::2], todo[::2]):
            yield from super().execute(stage, run, list(reversed(some)), advance)


@pytest.fixture
def in_waves(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shard, two more, and the rest."""
    monkeypatch.setattr(
        "clipneuron.sweep.stages.effects.waves", partial(waves, ends=(SHARD, 3 * SHARD))
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """A sweep of seven shards, one picture of which cannot be used, and a merging tree, in one wave."""
    folder = tmp_path_factory.mktemp("waves")
    write_pictures(folder / "pictures", 28, seed=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("clipneuron.sweep.pipeline.FAN_IN", 4)
        return folder, finished(folder, "whole", shard_size=SHARD, top=TOP)[1]


def check_same_results(run: Run, whole: Run) -> None:
    ours, theirs = tables_of(run), tables_of(whole)
    assert {"calibrate", "directions"} < ours.keys()
    for name in ours.keys() & theirs.keys():
        kind = name.rpartition("-")[0] or name
        if name in FINAL or kind in FINAL:
            assert ours[name] == theirs[name], name
    others = {key: digest for key, digest in theirs["effects"].items() if "summaries" not in key}
    assert others.items() <= ours["effects"].items()
    assert run.verify() == []


def unused(run: Run, stage: str) -> int:
    images = run.read(stage, "summaries", columns=["top_images"])["top_images"]
    return images.combine_chunks().flatten().to_pylist().count(-1)


def test_results_are_the_same_to_the_bit_and_rows_are_dropped(whole, in_waves, monkeypatch):
    folder, run = whole
    monkeypatch.setattr("clipneuron.sweep.pipeline.FAN_IN", 4)
    sweep = sweep_of(folder, "thin", shard_size=SHARD, top=TOP)
    thin, _ = sweep.run(quiet_runner())
    assert thin.name == run.name
    assert set(thin.stages()) == set(run.stages())
    check_same_results(thin, run)
    assert unused(run, "effects") == unused(run, "merge-1") == 0
    everything = len(run.read("effects", "summaries")) * TOP
    assert unused(thin, "effects") > 0.3 * everything
    assert unused(thin, "merge-1") > 0
    assert _size(thin, "summaries") < 0.9 * _size(run, "summaries")

    other = sweep_of(folder, "backwards", shard_size=SHARD, top=TOP)
    backwards, _ = other.run(quiet_runner(executor=Backwards()), until="effects")
    assert tables_of(backwards)["effects"] == tables_of(thin)["effects"]


def test_a_run_that_was_swept_whole_for_a_while_goes_on(whole, in_waves, monkeypatch):
    """Summaries that a former version has kept whole merge with others; so do shards that are lost and done again."""
    folder, run = whole
    monkeypatch.setattr("clipneuron.sweep.pipeline.FAN_IN", 4)
    sweep = sweep_of(folder, "mixed", shard_size=SHARD, top=TOP)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("clipneuron.sweep.stages.effects.waves", waves)
        mixed, _ = sweep.run(quiet_runner(), until="effects")
    for shard in sorted(mixed.done("effects"))[::2]:
        mixed.objects.delete(f"commits/effects/{shard}.json")
    mixed, _ = sweep.run(quiet_runner(), until="directions")
    check_same_results(mixed, run)
    assert unused(mixed, "effects") > 0


def _size(run: Run, table: str) -> int:
    commits = run.committed("effects").values()
    return sum(commit.stored(table).size for commit in commits)


def test_a_run_that_has_grown_has_the_results_of_one_that_keeps_all(tmp_path, in_waves):
    pictures = write_pictures(tmp_path / "pictures", 12, seed=4)
    options = {"shard_size": SHARD, "top": TOP}
    run, _ = sweep_of(tmp_path, "waves", **options).run(quiet_runner(), until="directions")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("clipneuron.sweep.stages.effects.waves", waves)
        whole = sweep_of(tmp_path, "whole", **options)
        everything, _ = whole.run(quiet_runner(), until="directions")
        write_pictures(tmp_path / "more", 8, seed=5)
        for one in sorted((tmp_path / "more").iterdir()):
            one.rename(pictures / f"more-{one.name}")
        whole = sweep_of(tmp_path, "whole", extends=everything.name, **options)
        whole.run(quiet_runner(), until="directions")
    thin = sweep_of(tmp_path, "waves", extends=run.name, **options)
    run, _ = thin.run(quiet_runner(), until="directions")
    check_same_results(run, everything)
    grown = [stage for stage in run.stages() if stage.startswith("directions-")]
    assert len(grown) == 1
    assert unused(run, "effects") > 0


class Broken(InProcess):
    """One shard of the first wave does not come through."""

    def __init__(self, shard: str) -> None:
        self.shard = shard

    def execute(
        self, stage: Stage, run: Run, todo: Sequence[Shard], advance: Advance
    ) -> Iterator[Ending]:
        for shard in todo:
            if (stage.kind, shard.name) == ("effects", self.shard):
                run.record_failure(stage.name, shard.name, RuntimeError("no luck"))
                yield Ending(shard.name, "no luck")
            else:
                yield from super().execute(stage, run, [shard], advance)


def test_the_waves_after_one_with_a_shard_in_quarantine_are_done(whole, in_waves):
    folder, run = whole
    sweep = sweep_of(folder, "quarantine", shard_size=SHARD, top=TOP)
    with pytest.raises(RunIncompleteError, match=r"1 shard could not be done \(00000000\)"):
        sweep.run(quiet_runner(executor=Broken("00000000"), attempts=1))
    held = sweep.open()
    assert len(held.done("effects")) == 6
    held.forget_failures("effects", "00000000")
    held, _ = sweep.run(quiet_runner(), until="directions")
    check_same_results(held, run)


def test_no_bound_is_known_before_the_first_wave(whole):
    from clipneuron.readers.sweep import Part, bounds

    _, run = whole
    assert bounds(run, Part("effects", ()), (0,), TOP) == {}
    assert bounds(run, Part("effects", ("no such shard",)), (0,), TOP) == {}
    few = bounds(run, Part("effects", ("00000000",)), (0, 1), 2 * SHARD)
    assert all((keys == -1).all() for keys in few.values())


def test_a_bound_is_the_least_of_the_top_pictures_so_far(whole):
    from clipneuron.readers.sweep import Part, bounds

    _, run = whole
    shards = ("00000002", "00000005")
    (keys,) = bounds(run, Part("effects", shards), (1,), TOP).values()
    norms = _norms(run, shards, "layer_1")
    for neuron, key in enumerate(keys.tolist()):
        assert sum(value > _norm(key) for value in norms[neuron]) == TOP - 1


def _norms(run: Run, shards: Sequence[str], column: str) -> list[list[float]]:
    rows = run.read("effects", "norms", shards=shards, columns=[column])[column].drop_null()
    return list(map(list, zip(*rows.to_pylist(), strict=True)))


def _norm(key: int) -> float:
    bits = pa.array([key >> 32], pa.int32()).buffers()[1]
    return pa.Array.from_buffers(pa.float32(), 1, [None, bits])[0].as_py()
