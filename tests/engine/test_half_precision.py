"""Every stage's worker with its models in half precision, on what the stages before it made in float32.

So each stage's own error is seen. Those of a whole run are measured by benchmarks/half_precision.py.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest
import torch

from clipneuron.models.clip.model import Clip
from clipneuron.models.clip.networks import prepare
from tests.engine.test_stage_contract import NAMES

pytestmark = pytest.mark.slow

HALVES = (torch.bfloat16, torch.float16)
COMPUTED = {}


@contextmanager
def computing_in(dtype: torch.dtype) -> Iterator[None]:
    """Models compute in this format, as workers get them."""
    copies: dict[Clip, Clip] = {}
    moved = Clip.on

    def on(clip: Clip, device: torch.device) -> Clip:
        there = moved(clip, device)
        if there not in copies:
            network = deepcopy(there.network)
            prepare(network, None, dtype)
            copies[there] = Clip(network, there.name, there._make_tokenizer)
        return copies[there]

    with patch.object(Clip, "on", on):
        yield
