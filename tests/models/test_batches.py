"""Batches shrink when memory is short, and only then."""

import pytest
import torch

from clipneuron.models.batches import Batches, out_of_memory

TOO_LARGE = 2**50
"""Bytes that no machine gives."""


def test_results_come_in_order_in_batches_of_the_size():
    seen = []
    results = Batches(3).run(
        range(8), lambda batch: seen.append(len(batch)) or [2 * item for item in batch]
    )
    assert results == [0, 2, 4, 6, 8, 10, 12, 14]
    assert seen == [3, 3, 2]


def test_a_real_shortage_is_recognised_and_halves_the_batch_for_good():
    def work(batch):
        torch.empty(TOO_LARGE if len(batch) > 2 else 1, dtype=torch.uint8)
        return list(batch)

    batches = Batches(8)
    assert batches.run(range(9), work) == list(range(9))
    assert batches.size == 2


def test_a_single_item_that_does_not_fit_is_an_error():
    with pytest.raises(RuntimeError) as caught:
        Batches(4).run(range(4), lambda batch: [torch.empty(TOO_LARGE, dtype=torch.uint8)])
    assert out_of_memory(caught.value)


def test_the_last_short_batch_does_not_shrink_more_than_it_must():
    failed = []

    def once(batch):
        if not failed:
            failed.append(len(batch))
            raise torch.OutOfMemoryError("CUDA out of memory")
        return list(batch)

    batches = Batches(8)
    assert batches.run(range(6), once) == list(range(6))
    assert (failed, batches.size) == ([6], 3)


def test_other_errors_are_no_shortage():
    assert out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert not out_of_memory(RuntimeError("shapes do not fit"))
    with pytest.raises(RuntimeError, match="shapes"):
        Batches(4).run(
            range(4), lambda batch: (_ for _ in ()).throw(RuntimeError("shapes do not fit"))
        )
