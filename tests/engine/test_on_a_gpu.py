"""Workers on a simulated GPU (tests/samples/simulated_gpu.py): one device, equal tables, few waits."""

import io
from typing import NamedTuple

import pytest
import torch
from rich.console import Console

from clipneuron.engine.runner import Runner
from clipneuron.lens.effects import SecondOrderLens
from tests.samples.lines import evidence
from tests.samples.simulated_gpu import simulated_gpu
from tests.samples.world import clip

pytestmark = pytest.mark.slow

WAITS = {
    "calibrate": 0,
    "effects": 2,
    "ablations": 2,
    "first-order-means": 0,
    "first-order": 0,
    "activation-means": 0,
    "indirect-ablations": 0,
}
"""How often the CPU may wait for the GPU in a batch after the first, of two layers together."""


class Ran(NamedTuple):
    """A shard's tables on the GPU and as they were committed, and what waited in each batch."""

    here: list
    there: list
    waits: list[int]
    where: list[dict]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ran]:
    """By kind, the first shard of each stage that looks at pictures."""
    run, stages = evidence(
        tmp_path_factory.mktemp("gpu"), "store", Runner(console=Console(file=io.StringIO()))
    )
    found = {}
    with simulated_gpu() as gpu:
        for stage in stages:
            if stage.kind in WAITS and stage.kind not in found:
                shard = stage.shards(run)[0]
                loaded, worker = stage.loader(run).load(shard), stage.build(stage.share(run))
                waits, where = [], []

                def advance(rows, waits=waits, where=where):
                    waits.append(gpu.waits.total())
                    where.append(dict(gpu.where))
                    gpu.waits.clear()
                    gpu.where.clear()

                advance(0)
                made = worker.process(loaded, advance).tables
                kept = [run.read(stage.name, name, shards=[shard.name]) for name in stage.writes]
                found[stage.kind] = Ran([made[name] for name in stage.writes], kept, waits, where)
                advance(0)
    return found


@pytest.mark.parametrize("kind", WAITS)
def test_a_worker_gives_the_same_tables_on_a_gpu(ran, kind):
    assert all(a.equals(b) for a, b in zip(ran[kind].here, ran[kind].there, strict=True))


@pytest.mark.parametrize("kind", WAITS)
def test_a_batch_waits_for_the_gpu_no_more_often_than_allowed(ran, kind):
    # the first entry is of building the worker, the second of the first batch, the last of pictures without pixels
    assert len(ran[kind].waits) >= 4
    assert ran[kind].waits[2] == WAITS[kind], ran[kind].where[2]


def test_what_is_on_two_devices_fails():
    with simulated_gpu(), torch.inference_mode():
        there = clip().on(torch.device("cuda"))
        trace, lens = there.trace(torch.zeros(1, 3, 16, 16)), SecondOrderLens(there, 0)
        coefficients, stray = lens.coefficients(trace), torch.zeros(1, len(lens.remainder_basis))
        with pytest.raises(RuntimeError, match="same device"):
            lens.norms_of(coefficients, stray)


def test_what_waits_is_counted():
    with simulated_gpu() as gpu:
        there = torch.arange(3.0).to("cuda", non_blocking=True)
        assert not gpu.waits
        assert float(there.sum()) == 3
        assert there.cpu().tolist() == [0, 1, 2]
        assert len(there[there > 0]) == 2
        assert len(there.nonzero()) == 2
        assert gpu.waits == {"number": 1, "copy back": 1, "size": 2}
