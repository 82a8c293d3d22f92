"""Names of shards and pictures tell experiments apart."""

from itertools import combinations

import pytest

from clipneuron.store.markers import checked_name
from clipneuron.tables.experiments import Experiment, experiments, pair_key, seed_of

HARD = ("stop sign", "Stop sign", "stop-sign", "stop", "sign", "sign-stop", "stop_sign", "犬", "猫", "--")  # fmt: skip


def test_names_of_an_experiment():
    one = Experiment(("horse", "automobile"), "second-order", 0)
    assert one.key == "horse-automobile-second-order-00"
    assert one.columns == {"pair": "horse:automobile", "method": "second-order", "repeat": 0}
    assert one.picture(7, 3) == "horse:automobile/second-order/0/7-3"
    assert pair_key(("stop sign", "yield")) == "stop_sign-yield"


def test_every_pair_of_names_has_a_key_of_its_own_that_the_store_takes():
    keys = [pair_key(pair) for names in combinations(HARD, 2) for pair in (names, names[::-1])]
    assert len(set(keys)) == len(keys)
    assert all(checked_name("shard", key) for key in keys)


def test_seeds_differ_by_everything_they_are_for_and_stay_what_they_are():
    found = {one.seed(part) for one in experiments([("a", "b"), ("ab", "")]) for part in ("x", 1)}
    assert len(found) == 2 * 5 * 3 * 2
    assert all(0 <= seed < 2**31 for seed in found)
    assert seed_of("horse", 1) == 1_944_235_297


def test_experiments_that_there_cannot_be():
    with pytest.raises(ValueError, match="got magic and 3"):
        experiments([("a", "b")], ["magic"])
    with pytest.raises(ValueError, match="no method"):
        experiments([("a", "b")], [])
    with pytest.raises(ValueError, match="and 0"):
        experiments([("a", "b")], repeats=0)
