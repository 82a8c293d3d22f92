"""Workers on a simulated GPU (tests/samples/simulated_gpu.py): one device, equal tables, few waits."""

from dataclasses import fields
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest
import torch

from clipneuron.lens.effects import SecondOrderLens
from clipneuron.lens.pursuit import prefix_weights, pursuit, reconstruction, solutions
from tests.engine.conftest import Done
from tests.engine.test_half_precision import numbers
from tests.engine.test_stage_contract import KINDS
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

BACKWARD = ("segmentations", "class-maps", "painted-class-maps")
"""Their attribution methods take gradients, and autograd asks a real driver before it goes backward."""

OTHERS = sorted(
    kind
    for cls, kind in KINDS.items()
    if {"clip", "device"} & {field.name for field in fields(cls)}
    and kind not in (*WAITS, *BACKWARD)
)
"""Others that have a model or a device."""


class Ran(NamedTuple):
    """A shard's tables on the GPU and as they were committed, and what waited in each batch."""

    here: list[pa.Table]
    there: list[pa.Table]
    waits: list[int]
    where: list[dict[str, int]]


def on_gpu(each: Done) -> Ran:
    """The first shard of a stage that was done on the CPU."""
    stage, run = each.stage, each.run
    waits, where = [], []
    with simulated_gpu() as gpu:

        def advance(rows: int) -> None:
            waits.append(gpu.waits.total())
            where.append(dict(gpu.where))
            gpu.waits.clear()
            gpu.where.clear()

        shard = stage.shards(run)[0]
        loaded, worker = stage.loader(run).load(shard), stage.build(stage.share(run))
        advance(0)
        made = worker.process(loaded, advance).tables
        kept = [run.read(stage.name, name, shards=[shard.name]) for name in stage.writes]
        advance(0)
    return Ran([made[name] for name in stage.writes], kept, waits, where)


@pytest.mark.environment  # a simulated GPU takes seconds for each
@pytest.mark.parametrize("kind", WAITS)
def test_a_worker_gives_the_same_tables_on_a_gpu_and_waits_for_it_no_more_than_allowed(done, kind):
    ran = on_gpu(done[kind][0])
    assert_same_tables(ran, kind)
    # of building the worker, of the first batch, of others, and of pictures without pixels
    assert len(ran.waits) >= 4
    assert ran.waits[2] == WAITS[kind], ran.where[2]


@pytest.mark.environment
@pytest.mark.parametrize("kind", OTHERS)
def test_any_other_worker_gives_the_same_tables_on_a_gpu(done, kind):
    assert_same_tables(on_gpu(done[kind][0]), kind)


def assert_same_tables(ran: Ran, kind: str) -> None:
    for found, right in zip(ran.here, ran.there, strict=True):
        assert found.schema == right.schema
        for name in right.column_names:
            assert_same(found[name], right[name], f"{kind}: {name}")


def assert_same(found: pa.ChunkedArray, right: pa.ChunkedArray, name: str) -> None:
    """Floats up to the rounding by which kernels of attention differ, on some processors; all else to the bit."""
    if not len(numbers(right)):
        assert found.equals(right), name
        return
    # Some are differences of embeddings, which are of unit length and rounded as such.
    most = 1e-5 * np.nanmax(np.abs(numbers(right)), initial=0) + 1e-6
    np.testing.assert_allclose(numbers(found), numbers(right), rtol=0, atol=most, err_msg=name)


def test_a_pursuit_gives_the_same_on_a_gpu_as_on_the_cpu():
    torch.manual_seed(0)
    directions, texts = torch.randn(5, 12), torch.nn.functional.normalize(torch.randn(20, 12))
    found = pursuit(directions, texts, 2)
    with simulated_gpu() as gpu:
        given, pool = directions.to("cuda"), texts.to("cuda")
        gpu.waits.clear()
        there = pursuit(given, pool, 2)
        assert gpu.waits.total() <= 4, gpu.where
        words = solutions(given, pool, [1, 2], nonnegative=True)[1]
        weights = prefix_weights(given, pool, there.indices, [1, 2])[1]
        written = reconstruction(pool, there.indices, there.weights).cpu()
        assert words.indices.device.type == "cuda"
        with pytest.raises(RuntimeError, match="same device"):
            pursuit(given, texts, 2)
        there, weights = [part.cpu() for part in there], weights.cpu()
    assert all(map(torch.equal, found, there))
    torch.testing.assert_close(weights, found.weights)
    torch.testing.assert_close(written, reconstruction(texts, found.indices, found.weights))


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
