import pytest

from clipneuron.operations.schedule.growth import growth
from clipneuron.store.errors import DamagedError
from clipneuron.store.store import Store

IDENTITY = {"model": "m1", "images": "i1", "layers": [1, 2], "top": 5, "numerics": 3}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def test_in_an_empty_store_there_is_nothing_to_go_on_with(store):
    assert growth(store, "demo", IDENTITY) == (None, "")


def test_the_same_pictures_come_before_others(store):
    first = store.open_run("demo", IDENTITY)
    store.open_run("demo", {**IDENTITY, "images": "i2"})
    assert growth(store, "demo", IDENTITY) == (first, "")


def test_other_pictures_go_on_with_the_last_run(store):
    store.open_run("demo", IDENTITY)
    last = store.open_run("demo", {**IDENTITY, "images": "i2"})
    found = growth(store, "demo", {**IDENTITY, "images": "i3"})
    assert found.run is not None
    assert found.run.record.created_at == last.record.created_at
    assert found.note == ""


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"model": "m2"}, "other weights than"),
        ({"numerics": 4}, "another version of the computation than"),
        ({"layers": [1]}, "another `recipe.layers` than"),
        ({"high_depth": "scale"}, "another `recipe.high_depth` than"),
        ({"model": "m2", "top": 6, "images": "i2"}, "other weights, another `recipe.top` than"),
    ],
)
def test_what_sets_a_new_run_apart_is_said(store, changed, says):
    first = store.open_run("demo", IDENTITY)
    found = growth(store, "demo", {**IDENTITY, **changed})
    assert found.run is None
    assert found.note == f"{says} {first.name}: a new run begins beside it"


def test_runs_of_another_name_do_not_count(store):
    store.open_run("demo-2", IDENTITY)
    store.open_run("other", IDENTITY)
    assert growth(store, "demo", IDENTITY) == (None, "")


def test_a_damaged_run_might_be_the_one(store):
    run = store.open_run("demo", IDENTITY)
    other = store.open_run("other", IDENTITY)
    other.objects.put("run.json", b"{}")
    assert growth(store, "demo", IDENTITY).run == run
    run.objects.put("run.json", b"{}")
    run.objects.put("commits/plan/part-0000.json", b"{}")
    with pytest.raises(DamagedError, match=r"run\.json is damaged"):
        growth(store, "demo", IDENTITY)
