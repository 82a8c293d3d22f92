"""Every stage's worker with its models in half precision, on what the stages before it made in float32.

So each stage's own error is seen; those of whole runs are measured by benchmarks/half_precision.py.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import fields
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest
import torch

from clipneuron.models.clip.model import Clip
from clipneuron.models.clip.networks import prepare
from tests.engine.conftest import Done
from tests.engine.test_stage_contract import NAMES

pytestmark = pytest.mark.slow

HALVES = (torch.bfloat16, torch.float16)
ERRORS = {
    "text_embeddings": ("embedding", 0.03),
    "means": ("coefficients", 0.02),
    "norms": ("layer_0", 0.03),
    "directions": ("direction", 0.02),
    "classifier": ("embedding", 0.03),
    "significance": ("energy", 0.04),
    "first_order_means": ("effect", 0.02),
    "first_order": ("square_sum", 0.03),
    "activation_means": ("activations", 0.02),
    "indirect": ("indirect", 0.03),
    "projections": ("layer_0", 0.04),
    "witness_embeddings": ("embedding", 0.02),
    "cosy_scores": ("mad", 0.04),
    "direct_effects": ("effects", 0.02),
    "verdicts": ("margin", 0.02),
    "neuron_profiles": ("heads", 0.01),
    "heats": ("effect", 0.03),
}
"""Of columns that models compute: the root mean square of the error in that of the numbers, at most, in bfloat16."""


@contextmanager
def computing_in(dtype: torch.dtype) -> Iterator[dict[Clip, Clip]]:
    """Models compute in this format, as workers get them; those that were asked for, with what was given."""
    given: dict[Clip, Clip] = {}
    moved = Clip.on

    def on(clip: Clip, device: torch.device) -> Clip:
        there = moved(clip, device)
        if there not in given:
            network = deepcopy(there.network)
            prepare(network, None, dtype)
            given[there] = Clip(network, there.name, there._make_tokenizer)
        return given[there]

    with patch.object(Clip, "on", on):
        yield given


def numbers(column: pa.ChunkedArray) -> np.ndarray:
    """All values of a column of floats, or of lists of such; NaN where there is none."""
    values = column.combine_chunks()
    while pa.types.is_list(values.type) or pa.types.is_fixed_size_list(values.type):
        values = values.flatten()
    if not pa.types.is_floating(values.type):
        return np.zeros(0)
    return values.to_numpy(zero_copy_only=False).astype(np.float64)


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("kind", NAMES)
def test_a_stage_runs_in_half_precision_near_float32(done, kind, dtype):
    each: Done = done[kind][0]
    stage, run = each.stage, each.run
    shard = stage.shards(run)[0]
    with computing_in(dtype) as models:
        worker = stage.build(stage.share(run))
        made = worker.process(stage.loader(run).load(shard), lambda rows: None).tables
    assert models or "clip" not in {field.name for field in fields(stage)}
    for table in stage.writes:
        wanted = run.read(stage.name, table, shards=[shard.name])
        for column in wanted.column_names:
            found, right = numbers(made[table][column]), numbers(wanted[column])
            assert not np.isinf(found).any() or np.isinf(right).any(), (table, column)
            if len(found) == len(right):
                assert np.isnan(found).sum() == np.isnan(right).sum(), (table, column)
        if table in ERRORS:
            column, bound = ERRORS[table]
            found, right = numbers(made[table][column]), numbers(wanted[column])
            error = np.sqrt(np.nanmean((found - right) ** 2) / np.nanmean(right**2))
            assert 1e-6 < error < (bound if dtype == torch.bfloat16 else bound / 5)


def test_every_table_with_an_error_is_seen(done):
    assert {table for same in done.values() for table in same[0].stage.writes} >= set(ERRORS)
