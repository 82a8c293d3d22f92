"""Directions found from the effects themselves are those found in coefficient space, of a whole run."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from clipneuron.lens import directions as lens
from clipneuron.readers.sweep import Planned
from clipneuron.sweep.pipeline import Sweep
from clipneuron.sweep.stages import directions as stages
from tests.samples.world import clip, quiet_runner, recipe_of, store_in, write_pictures


def processed(sweep: Sweep, run: object) -> list[pa.Table]:
    """The table of every block, found anew."""
    stage = sweep.stages(Planned.of(run)).directions  # type: ignore[arg-type]
    loader, worker = stage.loader(run), stage.build(stage.share(run))  # type: ignore[arg-type]
    shards = stage.shards(run)  # type: ignore[arg-type]
    return [worker.process(loader.load(s), lambda _: None).tables["directions"] for s in shards]


def test_a_run_by_effects_has_the_directions_of_one_by_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pictures(tmp_path / "pictures", 12)
    recipe = recipe_of(tmp_path, batch_size=8, shard_size=8)
    sweep = Sweep.of(recipe, store_in(tmp_path, "store"), clip())
    run, _ = sweep.run(quiet_runner(), until="directions")
    before = pa.concat_tables(processed(sweep, run))
    called: list[int] = []
    ways = stages.directions_of_effects

    def counted(effects: object) -> object:
        called.append(len(effects))  # type: ignore[arg-type]
        return ways(effects)  # type: ignore[arg-type]

    monkeypatch.setattr(stages, "is_by_effects", lambda *sizes: True)
    monkeypatch.setattr(stages, "directions_of_effects", counted)
    whole = pa.concat_tables(processed(sweep, run))
    blocks = len(called)
    # A run on GPUs: the tasks of neurons have none.
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    on_gpus = replace(sweep, recipe=recipe.model_copy(update={"device": "cuda"}))
    assert pa.concat_tables(processed(on_gpus, run)).equals(whole)
    called.clear()
    monkeypatch.setattr(stages, "PIECE", 1)  # a neuron at a time
    pieces = pa.concat_tables(processed(sweep, run))
    assert len(called) == before.num_rows > blocks
    for found in (whole, pieces):
        assert found.schema == before.schema
        for name in before.column_names:
            _same(name, before[name], found[name])
    assert lens.MANY_ROWS > 100  # nothing as small as this model takes that way by itself


def test_large_layers_have_directions_of_their_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever goes on with a run from before they were found from effects finds them anew."""
    write_pictures(tmp_path / "pictures", 12)
    sweep = Sweep.of(recipe_of(tmp_path), store_in(tmp_path, "store"), clip())
    _, planned, _ = sweep.planned(quiet_runner())
    small = sweep.stages(planned).directions
    assert not small.identity
    monkeypatch.setattr(lens, "MANY_ROWS", 1)
    large = sweep.stages(planned).directions
    assert large.identity == {"large": list(sweep.layers)}
    assert large.name != small.name


def _same(name: str, before: pa.ChunkedArray, found: pa.ChunkedArray) -> None:
    if name in ("direction", "mean", "top_projections", "explained_variance"):
        rows, others = (
            np.array(column.to_pylist(), dtype=np.float64) for column in (before, found)
        )
        scale = np.abs(rows).max()
        np.testing.assert_allclose(others, rows, atol=2e-5 * scale, rtol=0)
    else:
        assert found.equals(before), name
