"""Merging a large sweep level by level gives the directions that merging it at once gives."""

import numpy as np
import pytest

from clipneuron.engine.stage import Named
from clipneuron.readers.sweep import NeuronBlock, Part
from clipneuron.sweep.stages.merge import MergeTree
from tests.samples.world import finished


@pytest.mark.parametrize(("swept", "levels"), [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (9, 3)])
def test_a_tree_is_as_high_as_its_leaves_need(swept, levels):
    names = [f"{number:02d}" for number in range(swept)]
    tree = MergeTree.over(Named("effects"), names, (0,), neurons=8, block=8, fan_in=2)
    assert len(tree.levels) == levels
    top = tree.top(NeuronBlock(0, 0, 8))
    assert len(top.shards) <= 2
    assert top.stage == (f"merge-{levels}" if levels else "effects")


def test_every_leaf_is_merged_once():
    names = tuple(f"{number:02d}" for number in range(7))
    tree = MergeTree.over(Named("effects"), names, (0,), neurons=8, block=8, fan_in=3)
    (level,) = tree.levels
    below = [shard.payload[1] for shard in level.shards(None)]
    assert below == [Part("effects", names[i : i + 3]) for i in (0, 3, 6)]


@pytest.mark.slow
def test_directions_do_not_depend_on_how_summaries_were_merged(tmp_path, monkeypatch):
    _, at_once = finished(tmp_path, "at-once", shard_size=2)
    monkeypatch.setattr("clipneuron.sweep.pipeline.FAN_IN", 2)
    _, by_levels = finished(tmp_path, "by-levels", shard_size=2)
    assert {"merge-1", "merge-2"} <= set(by_levels.stages())
    one, other = (run.read("directions", "directions") for run in (at_once, by_levels))
    for name in ("layer", "neuron", "count", "top_images", "top_norms"):
        assert one[name].equals(other[name]), name
    for name in ("direction", "top_projections", "mean"):
        a, b = (np.array(table[name].to_pylist()) for table in (one, other))
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6, err_msg=name)
