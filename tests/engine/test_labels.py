"""Pools by the label of their nodes, beside named resources: where actors fit, and what Ray is handed."""

import pytest

from clipneuron.config.cluster import ClusterOptions
from clipneuron.engine import crew
from clipneuron.engine.cluster import nodes
from clipneuron.engine.cluster.labels import labels_of, selectors
from clipneuron.engine.cluster.placement import beside, fits, placement
from clipneuron.engine.crew import Crew
from clipneuron.engine.stage import Resources

CLIP = Resources(pool="clip")
BY_LABEL = ClusterOptions(pool_label="clipneuron-pool", actor_cpus=1)
LARGE = {"CPU": 16.0, "GPU": 4.0, "clipneuron-pool=gen": 1e9}
SMALL = {"CPU": 4.0, "GPU": 1.0, "clipneuron-pool=clip": 1e9}


@pytest.fixture
def handed(monkeypatch):
    given = []

    class Actors:
        def options(self, **options):
            given.append(options)
            return self

        def remote(self, gpus):
            return "actor"

    monkeypatch.setattr(crew.ray, "remote", lambda worker: Actors())
    monkeypatch.setattr(crew, "alive_nodes", lambda: [LARGE, SMALL])
    return given


def test_only_labelled_nodes_count_though_others_are_larger():
    found = placement(CLIP, BY_LABEL, [LARGE, SMALL])
    assert (found.actors, found.gpus) == (1, 1.0)
    assert found.labels == {"clipneuron-pool": "clip"}
    assert found.resources == {}, "no node offers it by name"
    assert "on nodes with clipneuron-pool=clip" in str(found)
    assert fits(found, 1, [SMALL])
    assert not fits(found, 1, [LARGE])


def test_names_and_labels_hold_together():
    node = SMALL | {"clip": 4.0}
    found = placement(CLIP, BY_LABEL, [LARGE | {"clip": 4.0}, node])
    assert found.resources == {"clip": 1.0}
    assert found.labels == {"clipneuron-pool": "clip"}
    assert found.actors == 1, "the other one offers the name and lacks the label"


def test_without_the_option_labels_mean_nothing(handed):
    found = placement(CLIP, ClusterOptions(actor_cpus=1), [LARGE, SMALL])
    assert found.labels == {}
    assert found.actors == 5
    Crew(found)
    assert all("label_selector" not in options for options in handed)


def test_a_label_that_no_node_has_is_an_error_with_its_name():
    with pytest.raises(ValueError, match="on nodes with clipneuron-pool=clip"):
        placement(CLIP, BY_LABEL, [LARGE])


def test_ray_is_handed_the_selector(handed):
    Crew(placement(CLIP, BY_LABEL, [LARGE, SMALL]))
    assert [options["label_selector"] for options in handed] == [{"clipneuron-pool": "clip"}]


def test_single_tasks_go_anywhere():
    assert beside(None, Resources(), [LARGE, SMALL]).labels == {}
    assert placement(Resources(), BY_LABEL, [SMALL]).labels == {}


def test_the_autoscaler_is_asked_for_labelled_nodes():
    bundles = nodes._bundles(CLIP, BY_LABEL, set())
    asked = selectors(labels_of(CLIP, BY_LABEL), len(bundles))
    assert asked == {"bundle_label_selectors": [{"clipneuron-pool": "clip"}, {}]}
    assert selectors(labels_of(CLIP, ClusterOptions()), 2) == {}


def test_labels_of_living_nodes_are_seen(monkeypatch):
    there = [
        {"Alive": True, "Resources": {"CPU": 4.0}, "Labels": {"clipneuron-pool": "clip"}},
        {"Alive": True, "Resources": {"CPU": 2.0}},
        {"Alive": False, "Resources": {"CPU": 8.0}, "Labels": {"clipneuron-pool": "gen"}},
    ]
    monkeypatch.setattr(nodes.ray, "nodes", lambda: there)
    assert nodes.alive_nodes() == [{"CPU": 4.0, "clipneuron-pool=clip": 1e9}, {"CPU": 2.0}]
