"""Waiting for nodes: asked of the autoscaler while they are missing, and not asked any more afterwards."""

import io

import pytest
from rich.console import Console

from clipneuron.config.cluster import ClusterOptions
from clipneuron.engine import crew as crews
from clipneuron.engine.cluster import nodes as cluster
from clipneuron.engine.cluster.nodes import placed
from clipneuron.engine.cluster.placement import beside, fits, placement
from clipneuron.engine.stage import Resources

CLIP = Resources(pool="clip")
SMALL = [{"CPU": 1.0}]
ENOUGH = [{"CPU": 4.0, "clip": 4.0}]


@pytest.fixture
def asked(monkeypatch) -> list[int]:
    """How many bundles were asked for, each time."""
    counts: list[int] = []
    monkeypatch.setattr(cluster, "request_resources", lambda bundles: counts.append(len(bundles)))
    monkeypatch.setattr(cluster.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(cluster, "declared", set)
    return counts


def test_nodes_are_asked_for_until_they_are_there(asked, monkeypatch):
    looks = iter([SMALL, SMALL, ENOUGH])
    monkeypatch.setattr(cluster, "alive_nodes", lambda: next(looks))
    out = io.StringIO()
    found = placed(CLIP, ClusterOptions(actors=2, actor_cpus=1, wait=60), Console(file=out))
    assert found.actors == 2
    assert asked == [3, 3, 0]
    assert "waiting for nodes: the cluster has space for" in out.getvalue()


def test_without_waiting_nobody_is_asked(asked, monkeypatch):
    monkeypatch.setattr(cluster, "alive_nodes", lambda: SMALL)
    with pytest.raises(
        ValueError, match=r"the cluster has space for 1 of 2 actors.*`cluster\.wait`"
    ):
        placed(CLIP, ClusterOptions(actors=2, actor_cpus=1), Console(file=io.StringIO()))
    assert asked == []


def test_where_nodes_were_lost_the_actors_that_still_fit_begin_at_once(asked, monkeypatch):
    nodes = [{"CPU": 2.0, "clip": 4.0}]
    monkeypatch.setattr(cluster, "alive_nodes", lambda: nodes)
    options = ClusterOptions(actors=4, actor_cpus=1, wait=60)
    out = io.StringIO()
    found = placed(CLIP, options, Console(file=out, width=200), again=True)
    assert "4 actors do not fit any more: on with 1 actors" in out.getvalue()
    assert asked == [0], "nothing should have been waited for"
    assert found.actors == 4
    fitting = [count for count in range(1, 5) if fits(found, count, [*nodes, {"CPU": 2.0}])]
    assert fitting == [1, 2]
    assert fits(found, 1, nodes)
    assert not fits(found, 2, nodes), "no core would be left for reading and committing"


class Process:
    """An actor that has never been started."""


@pytest.fixture
def nodes(monkeypatch) -> list[dict[str, float]]:
    """Those of a cluster, to be changed, on which a crew's processes are made up."""
    there = [{"CPU": 2.0, "clip": 1.0}, {"CPU": 2.0, "clip": 1.0}]
    monkeypatch.setattr(crews, "alive_nodes", lambda: there)
    monkeypatch.setattr(crews.Crew, "_started", lambda self: crews.Member(Process()))
    monkeypatch.setattr(crews, "free_nodes", lambda: there)
    monkeypatch.setattr(crews, "_kill", lambda member: None)
    monkeypatch.setattr(crews.ray, "is_initialized", lambda: True)
    return there


def test_a_crew_gets_back_what_it_lost_when_a_node_joins(nodes):
    crew = crews.Crew(placement(CLIP, ClusterOptions(actors=2, actor_cpus=1), nodes))
    first, second = crew.members
    lost = nodes.pop()
    assert crew.replace(second) == []
    assert (crew.members, crew.short, crew.hopeless) == ([first], True, False)
    assert crew.complete() == []
    nodes.append(lost)
    (third,) = crew.complete()
    assert (crew.members, crew.short) == ([first, third], False)
    (fourth,) = crew.replace(first)
    assert crew.members == [third, fourth]
    nodes.clear()
    assert crew.replace(third) == crew.replace(fourth) == []
    assert crew.hopeless
    nodes.extend([lost, dict(lost)])
    assert len(crew.complete()) == 2


def test_a_crew_gives_way_and_grows_again_where_others_let_go(nodes):
    nodes[0]["clip"] = 4.0
    nodes[0]["CPU"] = 5.0
    crew = crews.Crew(placement(CLIP, ClusterOptions(actors=4, actor_cpus=1), nodes))
    first, *_ = crew.members
    crew.give_way()
    assert crew.members == [first], "one would wait for a core as well as four"
    crew.complete()
    assert crew.members == [first], "what has given way does not come back by itself"
    crew.restore()
    assert len(crew.members) == 4, "there is space for three more"
    for member in crew.members:
        member.ready = True
    crew.members[0].items.append(crews.Item("at work"))
    busy, _, *others = crew.members
    crew.give_way()
    assert crew.members == [busy, *others]
    others[0].ready = False
    crew.give_way()
    assert crew.members == [busy], (
        "whoever waits for a core goes first, and one that has nothing to do"
    )
    busy.items.clear()
    busy.ready = True
    crew.give_way()
    assert (crew.members, crew.most) == ([], 1)
    assert len(crew.complete()) == 1, "the last one comes back when others had their turn"


def test_single_tasks_leave_others_what_they_hold():
    nodes = [{"CPU": 4.0}, {"CPU": 4.0}]
    assert beside(None, Resources(), nodes).actors == 7
    assert beside(None, Resources(), nodes, free=[{"CPU": 3.0}, {}]).actors == 2
    assert beside(None, Resources(), nodes, free=[{}, {}]).actors == 1
    assert beside(None, Resources(), nodes, free=[{"CPU": 1.0}, {"CPU": 2.0}], own=3).actors == 5


def test_the_autoscaler_is_asked_for_nodes_while_processes_are_missing(nodes, asked):
    options = ClusterOptions(actors=2, actor_cpus=1)
    crew = crews.Crew(placement(CLIP, options, nodes), grows=True)
    assert asked == []
    lost = nodes.pop()
    crew.replace(crew.members[1])
    crew.complete()
    assert asked == [3], "two actors and a core for reading, asked for once"
    nodes.append(lost)
    crew.complete()
    assert asked == [3, 0]
    nodes.pop()
    crew.replace(crew.members[1])
    crew.ask_no_more()
    assert asked == [3, 0, 3, 0]
    fixed = crews.Crew(placement(CLIP, options, [*nodes, lost]))
    assert fixed.short
    assert len(asked) == 4, "without `wait` nodes are not asked for"


def bundles(offered: set[str], **options: float) -> dict[str, float]:
    return cluster._bundles(CLIP, ClusterOptions(**options), offered)[0]


def test_only_what_the_cluster_has_is_asked_for():
    assert bundles({"CPU"}) == {"CPU": 1.0}
    assert bundles({"CPU", "GPU"}) == {"CPU": 1.0, "GPU": 1.0}, (
        "the default is one GPU, where there are GPUs"
    )
    assert bundles({"CPU", "GPU", "clip"}) == {"CPU": 1.0, "GPU": 1.0, "clip": 1.0}
    assert bundles({"CPU", "GPU"}, actor_gpus=0.5)["GPU"] == 0.5
    assert "GPU" not in bundles({"CPU", "GPU"}, actor_gpus=0)


@pytest.mark.parametrize(
    ("declared", "asked_for"),
    [({"CPU": 9}, {"CPU"}), ({"clip": 4, "GPU": 1}, {"CPU", "GPU", "clip"})],
)
def test_nodes_that_are_declared_and_not_started_yet_are_asked_for(
    monkeypatch, declared, asked_for
):
    asked = []
    looks = iter([SMALL, ENOUGH])
    monkeypatch.setattr(cluster, "request_resources", lambda bundles: asked.append(bundles))
    monkeypatch.setattr(cluster.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(cluster, "alive_nodes", lambda: next(looks))
    state = cluster.ray._private.state.state
    monkeypatch.setattr(state, "get_max_resources_from_cluster_config", lambda: declared)
    placed(CLIP, ClusterOptions(actors=2, actor_cpus=1, wait=60), Console(file=io.StringIO()))
    assert set(asked[0][0]) == asked_for


@pytest.mark.parametrize(("pool", "actors"), [("clip", 1), ("gen", 2)])
def test_a_pool_counts_on_its_own_nodes_alone(pool, actors):
    nodes = [{"CPU": 4.0, "GPU": 1.0, "clip": 1.0}, {"CPU": 4.0, "GPU": 2.0, "gen": 2.0}]
    found = placement(Resources(pool=pool), ClusterOptions(), nodes)
    assert (found.actors, found.gpus, found.resources) == (actors, 1.0, {pool: 1.0})


def test_actors_are_placed_by_the_memory_that_they_declare():
    gib = 2.0**30
    nodes = [
        {"CPU": 8.0, "gen": 4.0, "memory": 40 * gib},
        {"CPU": 8.0, "gen": 4.0, "memory": 8 * gib},
    ]
    options = ClusterOptions(actor_cpus=1)
    assert placement(Resources(pool="gen", memory=16), options, nodes).actors == 2
    assert placement(Resources(pool="gen"), options, nodes).actors == 8
    with pytest.raises(ValueError, match=r"space for 0 of 1 .*48 GiB of memory.*40\.0 GiB"):
        placement(Resources(pool="gen", memory=48), options, nodes)
