"""Whole sweeps of the tiny world under faults, and what must hold afterwards."""

import io
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from rich.console import Console

from clipneuron.config.cluster import ClusterOptions
from clipneuron.engine.ray_data import RayData
from clipneuron.engine.runner import Runner, StageReport
from clipneuron.store.store import Run
from clipneuron.sweep.pipeline import Sweep
from tests.faults.hooks import Hook, HookedStage, hooked
from tests.samples.world import quiet_runner


def carry_out(
    sweep: Sweep,
    runner: Runner,
    hook: Hook,
    kinds: Sequence[str] = ("effects", "directions"),
    others: Runner | None = None,
) -> list[StageReport]:
    """Runs the sweep, the stages of these kinds with a hook on the runner, the others on another: in this process."""
    others = others or quiet_runner()
    run, planned, _ = sweep.planned(quiet_runner())
    reports = []
    for stage in sweep.stages(planned).all[1:]:
        if stage.kind in kinds:
            reports.append(runner.run_stage(HookedStage(stage, hook), hooked(run, hook)))
        else:
            reports.append(others.run_stage(stage, run))
    return reports


def on_cluster(*, actors: int = 2, **limits: Any) -> Runner:
    """A runner on the connected cluster."""
    quiet = Console(file=io.StringIO())
    return Runner(
        RayData(ClusterOptions(actors=actors, actor_cpus=1), quiet), console=quiet, **limits
    )


def everything(run: Run) -> dict[tuple[str, str, str], pa.Table]:
    """Every committed table by stage, table and shard."""
    return {
        (stage, stored.table, shard): run.read(stage, stored.table, shards=[shard])
        for stage in run.stages()
        for shard, commit in run.committed(stage).items()
        for stored in commit.objects
    }


def attempts(run: Run) -> dict[tuple[str, str], str]:
    """Which attempt at each shard counts."""
    return {
        (stage, shard): commit.attempt
        for stage in run.stages()
        for shard, commit in run.committed(stage).items()
    }


def check_same(run: Run, undisturbed: Run) -> None:
    """Row for row the same tables, each shard committed once, and every byte as its commit says."""
    found, expected = everything(run), everything(undisturbed)
    assert found.keys() == expected.keys()
    assert [key for key, table in expected.items() if not found[key].equals(table)] == []
    for stage in run.stages():
        keys = list(run.objects.list(f"commits/{stage}/"))
        assert len(keys) == len(set(keys)) == len(run.committed(stage))
    assert run.verify() == []
