"""Means from some of the pictures: they are those of precisely these pictures, and all others are passed over once."""

import io

import numpy as np
import pytest
import torch

from clipneuron.config.cluster import ClusterOptions
from clipneuron.engine.ray_data import RayData
from clipneuron.engine.runner import Runner
from clipneuron.readers.lenses import trace_of
from clipneuron.reports.consoles import Console
from clipneuron.store.identity import differences
from clipneuron.sweep import forecast
from clipneuron.sweep.retry import Retry
from tests.samples.world import clip, quiet_runner, sweep_of, write_pictures

pytestmark = pytest.mark.slow
MEANS = ("means", "remainder_means")


def until_effects(sweep):
    run, _ = sweep.run(quiet_runner(), until="effects")
    return run


@pytest.fixture
def pictures(tmp_path):
    """Thirty of them, of which every second one up to the 28th is calibrated on."""
    return write_pictures(tmp_path / "pictures", 30)


def test_means_are_those_of_a_run_over_precisely_these_pictures(tmp_path, pictures):
    few = until_effects(sweep_of(tmp_path, "few", every=2, limit=14))
    sweep = sweep_of(tmp_path, "all", calibrate_on=14)
    run = until_effects(sweep)
    for table in MEANS:
        assert run.read("calibrate", table).equals(few.read("calibrate", table))
    assert run.read("effects", "norms").num_rows == 30
    assert len(run.committed("calibrate")) == 4
    assert len(run.committed("effects")) == 8
    changed = differences(sweep.identity, sweep_of(tmp_path).identity)
    assert "calibrate_on" in str(changed)
    assert "calibrate_on" not in sweep_of(tmp_path).identity


def test_effects_are_centred_by_them_as_materialised_effects_say(tmp_path, pictures):
    sweep = sweep_of(tmp_path, calibrate_on=14)
    run = until_effects(sweep)
    norms = run.read("effects", "norms").sort_by("index")
    usable = [number for number in range(30) if number != 5]
    read = [sweep.collection.read(sweep.collection.pictures[number]) for number in usable]
    pixels = np.stack([sweep.preprocess.decode(data) for data in read])
    for layer, lens in sweep.lenses.on(clip()).items():
        with torch.inference_mode():
            effects = lens.effects(trace_of(clip(), pixels, sweep.layers)).double()
        mean = effects[[usable.index(number) for number in range(0, 28, 2)]].mean(0)
        expected = (effects - mean).norm(dim=-1)
        rows = norms[f"layer_{layer}"].combine_chunks()
        found = torch.tensor([rows[number].as_py() for number in usable])
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-6)


def test_what_is_foretold_is_what_is_passed_over(tmp_path, pictures):
    sweep = sweep_of(tmp_path, calibrate_on=14)
    sample = forecast.sample_of(sweep, 8)
    rows = {item.stage: item.rows for item in forecast.ahead(sweep, 30, sample)}
    tables = {item.table: item.rows for item in forecast.expected(sweep, 30, 8)}
    run = until_effects(sweep)
    assert rows["calibrate"] == 14
    assert rows["effects"] == 30
    assert tables["means"] == run.read("calibrate", "means").num_rows
    counts = run.read("calibrate", "means")["count"].to_pylist()
    assert sum(counts) == 14 * len(counts) / 4


def test_a_run_that_grows_keeps_the_pictures_of_its_means(tmp_path, pictures):
    sweep = sweep_of(tmp_path, calibrate_on=14)
    run = until_effects(sweep)
    before = {table: run.read("calibrate", table) for table in MEANS}
    write_pictures(tmp_path / "more", 35, seed=1)
    for number in range(30, 35):
        (tmp_path / f"more/{number:03d}.png").rename(pictures / f"{number:03d}.png")
    grown = sweep_of(tmp_path, extends=run.name, calibrate_on=14)
    again = until_effects(grown)
    assert again.read("effects", "norms").num_rows == 35
    assert {table: again.read("calibrate", table) for table in MEANS} == before
    assert forecast.calibrated(grown, 5) == 5, "of a new run over five pictures"
    assert Retry.of(grown, again).failed_share == 0, "005.png is none of those calibrated on"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"calibrate_on": 31}, "asks for the means of 31 pictures, and there are 30"),
        ({"calibrate_on": 12}, "12 pictures, too few .* ask for at least 13"),
        ({"calibrate_on": 1, "split": "centered"}, "1 picture, too few .* at least 2"),
    ],
)
def test_too_many_and_too_few_pictures_are_refused(tmp_path, pictures, options, message):
    with pytest.raises(ValueError, match=message):
        sweep_of(tmp_path, **options)


@pytest.mark.process
@pytest.mark.usefixtures("cluster")
def test_a_cluster_gives_the_same_tables_and_reads_what_another_process_has_decoded(
    tmp_path, pictures
):
    asked = {"calibrate_on": 14, "cache": str(tmp_path / "cache")}
    here = until_effects(sweep_of(tmp_path, "here", **asked))
    quiet = Console(file=io.StringIO())
    options = ClusterOptions(actors=1, actor_cpus=1)
    sweep = sweep_of(tmp_path, "there", **asked)
    run, planned, _ = sweep.planned(quiet_runner())
    stages = sweep.stages(planned)
    runner = Runner(RayData(options, quiet), console=quiet)
    for stage in (stages.calibrate, stages.effects):
        runner.run_stage(stage, run)
    for stage, table in (("calibrate", "means"), ("effects", "norms"), ("effects", "summaries")):
        assert run.read(stage, table).equals(here.read(stage, table))
    assert sum(commit.usage.cached for commit in run.committed("effects").values()) == 30
