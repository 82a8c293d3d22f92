"""The job server of a real cluster, behind the small interface that all else is tested with in memory."""

import sys
from itertools import takewhile

import pytest

from clipneuron.config.cluster import ClusterOptions
from clipneuron.engine.jobs import LostError, RayJobs, TakenError, client_ray
from clipneuron.operations.submit.checks import problems
from clipneuron.operations.submit.clock import WallClock
from clipneuron.operations.submit.following import Patience
from clipneuron.operations.submit.inspection import Wanted
from clipneuron.operations.submit.orders import Order
from clipneuron.operations.submit.submission import STOPPED, Submission, outcome, stopped
from tests.samples.cluster import free_port


@pytest.mark.environment
@pytest.mark.usefixtures("cluster")
@pytest.mark.slow
def test_jobs_of_a_real_cluster(job_server, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:1")  # Ray's client would prefer it
    server = RayJobs(job_server)
    assert server.ray_version() == client_ray()
    assert server.find("nothing") is None
    assert not server.stop("nothing")
    assert list(server.log("nothing")) == []
    said: list[str] = []
    patience = Patience(WallClock(), 30.0, say=said.append)

    # The cluster is looked at by a job, which leaves nothing behind, neither in its list nor in the store.
    order = Order("run", "aaaaaaaaaaaa", [], str(tmp_path / "store"), python=sys.executable)
    wanted = Wanted(
        store=order.store,
        model="ViT-B/32",  # an architecture, though it looks like a folder
        pretrained="opnai",
        images=(str(tmp_path / "no"),),
        pools=("clip",),
        cluster=ClusterOptions(actor_cpus=64),
    )
    pictures, weights, space = problems(server, order, wanted, patience)
    assert (
        f"the pictures are out of the cluster's reach: there is nothing at {tmp_path}" in pictures
    )
    assert "the weights are out of the cluster's reach: 'opnai' is neither a known tag" in weights
    assert "tags of ViT-B-32: openai" in weights
    assert "pool clip: the cluster has space for 0 of" in space
    assert not [job for job in server.jobs() if job.name.startswith("check-")]
    assert not list(tmp_path.rglob("probe-*"))

    # A job that fails, with its log and its own status; its name is taken from then on.
    written: list[str] = []
    failing = Order("run", "bbbbbbbbbbbb", [], "s3://x", python="sh -c 'echo $WHO; exit 7'")
    failing = Order(**{**vars(failing), "environment": {"WHO": "a-node"}})
    submission = Submission(server, failing, patience, said.append, written.append)
    assert submission.begin()
    assert submission.finish() == 7
    assert "a-node\n" in "".join(written)
    job = server.find(failing.name(1))
    assert (job.state, job.status, job.notes["store"]) == ("failed", 7, "s3://x")
    assert 0 < job.begun <= job.ended
    with pytest.raises(TakenError):
        server.submit(failing.name(1), "true", {}, {})

    # One that goes on until it is stopped, and whose log is there before it ends.
    endless = Order("run", "cccccccccccc", [], "s3://x", python="sh -c 'echo begun; sleep 600'")
    submission = Submission(server, endless, patience, said.append, written.append)
    submission.begin()
    lines = takewhile(lambda chunk: "begun\n" not in chunk, server.log(endless.name(1)))
    list(lines)
    assert server.find(endless.name(1)).state == "running"
    assert outcome(stopped(server, endless.name(1), patience))[0] == STOPPED
    assert [each.name for each in server.jobs()][-2:] == [failing.name(1), endless.name(1)]


def test_where_nobody_listens_there_is_no_server():
    with pytest.raises(LostError, match="no job server answers at http"):
        RayJobs(f"http://127.0.0.1:{free_port()}")
