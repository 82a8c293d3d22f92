"""One contract for every stage: declared schema, any batch size, equal bytes twice, empty shards, picklable."""

import pickle
from dataclasses import replace
from importlib import import_module
from inspect import isclass
from pkgutil import iter_modules

import numpy as np
import pytest
import torch

import clipneuron.atlas.stages
import clipneuron.concepts.stages
import clipneuron.evidence.stages
import clipneuron.explanation.stages
import clipneuron.segmentation.stages
import clipneuron.sweep.stages
from clipneuron.data.opening import open_collection
from clipneuron.engine.stage import Stage
from clipneuron.explanation.inputs import ClipWitness
from clipneuron.models.clip.model import load_clip
from clipneuron.readers.sweep import Planned
from clipneuron.store.store import Run
from clipneuron.sweep.stages.merge import MergeStage, MergeTree
from clipneuron.tables import registry as tables
from tests.samples.atlas_world import atlas_of, attacked
from tests.samples.conceived import concepts_of
from tests.samples.explained import PAINTED, Tints, line_of
from tests.samples.segmented import line_of as segmentation_of
from tests.samples.towers import tiny_clip
from tests.samples.world import (
    clip,
    finished,
    quiet_runner,
    reproduction_of,
    sweep_of,
    write_pictures,
)

pytestmark = pytest.mark.slow

STAGES = [
    module.name
    for package in (
        clipneuron.sweep.stages,
        clipneuron.evidence.stages,
        clipneuron.explanation.stages,
        clipneuron.segmentation.stages,
        clipneuron.concepts.stages,
        clipneuron.atlas.stages,
    )
    for module in iter_modules(package.__path__, f"{package.__name__}.")
]
CLASSES = [
    cls
    for module in map(import_module, STAGES)
    for cls in vars(module).values()
    if isclass(cls) and issubclass(cls, Stage) and cls.__module__ == module.__name__
]
KINDS = {cls: cls.kind for cls in CLASSES} | {MergeStage: "merge-1"}
PLANS = ("evaluation", "held-out", "segmentation-plan", "concept-pictures")
NAMES = sorted({*KINDS.values(), *PLANS, "random-words", "witness-texts"})
"""Every kind of stage that there is, but for those of an attack."""


@pytest.fixture(scope="module")
def run_and_stages(tmp_path_factory) -> tuple[Run, dict[str, Stage]]:
    folder = tmp_path_factory.mktemp("contract")
    reproduction = reproduction_of(folder)
    run, _ = reproduction.run(quiet_runner())
    planned = Planned.of(run)
    stages, swept = reproduction.stages(planned), reproduction.stages(planned).swept
    layers, neurons = reproduction.sweep.layers, clip().neurons
    tree = MergeTree.over(swept.effects, planned.shards, layers, neurons, block=24, fan_in=2)
    quiet_runner().run(tree.levels, run)
    line = replace(line_of(folder, asked=PAINTED), painter=Tints())
    other = load_clip(tiny_clip(layers=2, width=16, embed=8, image_size=16, patch_size=8))
    scored: list[Stage] = []
    for witness in (line.witness, ClipWitness("other", other)):
        own = replace(line, witness=witness)
        own.run(quiet_runner())
        scored += own.stages(planned).all
    segmented = segmentation_of(folder)
    segmented.run(quiet_runner(max_failed_share=0.5))
    scored += segmented.stages(planned).all
    found = concepts_of(folder)
    found.run(quiet_runner())
    scored += found.stages(planned).all
    attacked(run, stages.swept.results)
    atlas = atlas_of(run, reproduction.sweep.recipe, folder)
    atlas.bring(quiet_runner())
    scored += atlas.stages().all
    return run, {stage.kind: stage for stage in reversed([*stages.all, *tree.levels, *scored])}


def test_every_kind_of_stage_is_held_to_the_contract(run_and_stages):
    assert set(run_and_stages[1]) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_tables_follow_their_declared_schema(run_and_stages, name):
    run, stages = run_and_stages
    stage = stages[name]
    commits = run.committed(stage.name)
    assert list(commits) == [shard.name for shard in stage.shards(run)]
    for table in stage.writes:
        assert tables.conform(table, run.read(stage.name, table)).num_rows > 0


@pytest.mark.parametrize("name", NAMES)
def test_the_same_shard_twice_gives_equal_tables(run_and_stages, name):
    run, stages = run_and_stages
    stage = stages[name]
    for shard in list(stage.shards(run))[:2]:
        worker = stage.build(stage.share(run))
        output = worker.process(stage.loader(run).load(shard), lambda rows: None)
        assert set(output.tables) == set(stage.writes)
        for table, rows in output.tables.items():
            assert rows.equals(run.read(stage.name, table, shards=[shard.name])), (name, table)


@pytest.mark.parametrize("name", NAMES)
def test_a_stage_and_its_shards_travel(run_and_stages, name):
    run, stages = run_and_stages
    stage = pickle.loads(pickle.dumps(stages[name]))
    shards = pickle.loads(pickle.dumps(list(stage.shards(run))))
    assert [shard.name for shard in shards] == [shard.name for shard in stages[name].shards(run)]


@pytest.mark.parametrize("name", NAMES)
def test_progress_counts_every_row_once(run_and_stages, name):
    run, stages = run_and_stages
    stage = stages[name]
    for shard in stage.shards(run):
        counted: list[int] = []
        worker = stage.build(stage.share(run))
        worker.process(stage.loader(run).load(shard), counted.append)
        assert sum(counted) == shard.rows


def close(one, other, table: str) -> None:
    for name in one.column_names:
        a, b = one[name].combine_chunks(), other[name].combine_chunks()
        if "list" in str(a.type):
            a, b = a.drop_null().flatten(), b.drop_null().flatten()
        a, b = a.to_pylist(), b.to_pylist()
        if name == "histogram" or not a or not isinstance(a[0], float):
            assert a == b, (table, name)
        else:
            np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-5, err_msg=f"{table}.{name}")


@pytest.mark.slow
@pytest.mark.parametrize("split", ["equal", "centered"])
def test_batch_and_shard_size_do_not_change_the_results(tmp_path, split):
    _, one = finished(tmp_path, "one", batch_size=1, split=split)
    _, seven = finished(tmp_path, "seven", batch_size=7, shard_size=3, split=split)
    for table in ("norms",):
        close(one.read("effects", table), seven.read("effects", table), table)
    columns = ["layer", "neuron", "direction", "threshold", "explained_variance", "top_images"]
    close(
        one.read("directions", "directions", columns=columns),
        seven.read("directions", "directions", columns=columns),
        "directions",
    )


def test_a_shard_without_any_usable_picture_is_committed_all_the_same(tmp_path):
    pictures = write_pictures(tmp_path / "pictures", 12)
    for number in range(4, 8):
        (pictures / f"{number:03d}.png").write_bytes(b"not a picture")
    sweep = sweep_of(tmp_path)
    run, _ = sweep.run(quiet_runner(max_failed_share=0.5))
    norms = run.read("effects", "norms")
    assert norms.num_rows == 12
    failed = [row for row in norms.to_pylist() if row["status"] != "ok"]
    assert [row["image"] for row in failed] == [f"{number:03d}.png" for number in range(4, 8)]
    assert all(row["reason"] and row["layer_0"] is None for row in failed)
    directions = run.read("directions", "directions")
    assert set(directions["count"].to_pylist()) == {8}
    assert not set(range(4, 8)) & set(np.concatenate(directions["top_images"].to_pylist()))


def test_the_sweep_equals_the_lens_on_all_pictures_at_once(tmp_path):
    """Norms, means and directions of the sharded run against one trace of everything."""
    from clipneuron.lens.effects import SecondOrderLens

    sweep, run = finished(tmp_path)
    collection = open_collection(tmp_path / "pictures")
    numbers = [number for number in range(12) if number != 5]
    pixels = [clip().preprocess.decode(collection.read(collection.pictures[n])) for n in numbers]
    with torch.inference_mode():
        trace = clip().trace(clip().preprocess.normalize(np.stack(pixels)))
        for layer in sweep.layers:
            effects = SecondOrderLens(clip(), layer).effects(trace).double()
            centred = effects - effects.mean(0)
            rows = run.read("directions", "directions", filters=[("layer", "==", layer)])
            norms = run.read("effects", "norms")[f"layer_{layer}"].to_pylist()
            stored = np.array([norms[number] for number in numbers])
            np.testing.assert_allclose(stored, centred.norm(dim=-1), rtol=1e-3, atol=1e-6)
            np.testing.assert_allclose(
                np.array(rows["mean"].to_pylist()), effects.mean(0), rtol=1e-3, atol=1e-6
            )
            for neuron in range(0, clip().neurons, 7):
                top = centred[:, neuron].norm(dim=-1).argsort(descending=True)[:5]
                _, sizes, right = torch.linalg.svd(centred[top, neuron], full_matrices=False)
                direction = torch.tensor(rows["direction"][neuron].as_py(), dtype=torch.float64)
                assert rows["top_images"][neuron].as_py() == [numbers[place] for place in top]
                if sizes[1] < 0.95 * sizes[0]:
                    assert abs(direction @ right[0]) > 1 - 1e-4
