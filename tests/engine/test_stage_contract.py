"""One contract for every stage: declared schema, progress by rows, equal bytes beyond a cluster's pickles.

Each line of work runs once in this process and once by the steps of a cluster's processes (tests/engine/pickled.py).
A real cluster runs a sweep as well: test_ray_data.py.
"""

from collections import Counter
from importlib import import_module
from inspect import isclass
from pkgutil import iter_modules

import numpy as np
import pytest
import torch

import clipneuron.atlas.stages
import clipneuron.attack.stages
import clipneuron.concepts.stages
import clipneuron.evidence.stages
import clipneuron.explanation.stages
import clipneuron.segmentation.stages
import clipneuron.sweep.stages
from clipneuron.data.opening import open_collection
from clipneuron.engine.stage import Stage
from clipneuron.store.store import Run
from clipneuron.sweep.stages.merge import MergeStage
from clipneuron.tables import registry as tables
from tests.engine.conftest import Done
from tests.engine.fakes import tables_of
from tests.engine.pickled import Pickled
from tests.samples.lines import Line
from tests.samples.world import clip, finished, quiet_runner, sweep_of, write_pictures

pytestmark = pytest.mark.slow

PACKAGES = (
    clipneuron.sweep.stages,
    clipneuron.evidence.stages,
    clipneuron.attack.stages,
    clipneuron.explanation.stages,
    clipneuron.segmentation.stages,
    clipneuron.concepts.stages,
    clipneuron.atlas.stages,
)
CLASSES = {
    cls
    for package in PACKAGES
    for module in iter_modules(package.__path__, f"{package.__name__}.")
    for cls in vars(import_module(module.name)).values()
    if isclass(cls) and issubclass(cls, Stage) and cls.__module__ == module.name
}
KINDS = {cls: cls.kind for cls in CLASSES} | {MergeStage: "merge-1"}
PLANS = ("evaluation", "held-out", "segmentation-plan", "concept-pictures")
NAMES = sorted({*KINDS.values(), *PLANS, "random-words", "witness-texts"})
"""Every kind of stage that there is."""


@pytest.fixture(scope="module")
def there(done: dict[str, list[Done]]) -> dict[Line, Run]:
    """Every line's run once more, by the steps of a cluster's processes."""
    folders = {each.line: each.folder for same in done.values() for each in same}
    found = {}
    for line, folder in folders.items():
        found[line], _ = line(folder, "there", quiet_runner(executor=Pickled()))
        assert found[line].verify() == []
    for each in [each for same in done.values() for each in same]:
        assert {each.stage.name} <= set(each.run.stages()) == set(found[each.line].stages())
    return found


def test_every_kind_of_stage_is_held_to_the_contract(done):
    assert set(done) == set(NAMES)
    assert {type(each.stage) for same in done.values() for each in same} >= CLASSES


@pytest.mark.parametrize("name", NAMES)
def test_no_batch_is_held_while_the_next_one_passes(done, name):
    """Its activations are gigabytes in all layers of a large model, and the plan of memory counts them once."""
    assert all(each.passes["held"] == 0 for each in done[name])
    if name in ("calibrate", "effects", "projections", "ablations", "heats", "direct-effects"):
        assert any(each.passes["all"] > 1 for each in done[name]), "or nothing is proven"


@pytest.mark.parametrize("name", NAMES)
def test_tables_follow_their_declared_schema(done, name):
    rows: Counter[str] = Counter()
    for stage, _, _, run, *_ in done[name]:
        commits = run.committed(stage.name)
        assert sorted(commits) == sorted(shard.name for shard in stage.shards(run))
        for commit in commits.values():
            assert {stored.table for stored in commit.objects} == set(stage.writes)
        for table in stage.writes:
            rows[table] += tables.conform(table, run.read(stage.name, table)).num_rows
    assert all(rows.values()), "a table is empty wherever it was made"


@pytest.mark.parametrize("name", NAMES)
def test_a_stage_gives_the_same_bytes_on_the_far_side_of_pickles(done, there, name):
    for stage, line, _, here, *_ in done[name]:
        assert tables_of(there[line])[stage.name] == tables_of(here)[stage.name]


@pytest.mark.parametrize("name", NAMES)
def test_progress_counts_every_row_once(done, name):
    for stage, _, _, run, rows, _ in done[name]:
        for shard in stage.shards(run):
            assert rows[stage.name, shard.name] == shard.rows


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
