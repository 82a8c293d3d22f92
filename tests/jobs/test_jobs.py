"""Jobs as one submits them: to a real job server, where they succeed, fail in words, and may be repeated."""

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.job_submission import JobStatus, JobSubmissionClient

from clipneuron.store.store import Run, Store
from tests.faults.hooks import wait_for
from tests.faults.worlds import attempts

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
ROOT = Path(__file__).resolve().parents[2]
COMMAND = str(Path(sys.executable).with_name("ray"))
SMALL = ["--recipe", "demo", "--limit", "64", "--top", "6", "--layers", "4"]
SWEPT = {"plan", "calibrate", "effects", "directions", "texts", "descriptions", "explanations"}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a job server on a cluster of its own, which ends with the tests."""
    with pytest.MonkeyPatch.context() as patch:
        # Sockets have short names, so this is no place for pytest's long ones.
        folder = tempfile.mkdtemp(prefix="cn-", dir="/tmp")
        patch.setenv("RAY_TMPDIR", folder)
        patch.delenv("RAY_ADDRESS", raising=False)
        gcs, dashboard, agent, client = free_ports(4)
        head = subprocess.Popen(
            [
                *(COMMAND, "start", "--head", "--block", "--num-cpus=3", '--resources={"clip": 2}'),
                *(f"--port={gcs}", f"--dashboard-port={dashboard}", "--include-dashboard=true"),
                *(f"--dashboard-agent-listen-port={agent}", f"--ray-client-server-port={client}"),
                *("--min-worker-port=0", "--max-worker-port=0", "--disable-usage-stats"),
                f"--temp-dir={folder}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        address = f"http://127.0.0.1:{dashboard}"
        try:
            wait_for(lambda: answers(f"{address}/api/jobs/"), "the job server", 120)
            yield address
        finally:
            # `ray start --block` ends its own cluster at a SIGTERM; `ray stop` would end everybody's.
            head.send_signal(signal.SIGTERM)
            head.wait(60)
            shutil.rmtree(folder, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture(scope="module")
def client(server: str) -> JobSubmissionClient:
    return JobSubmissionClient(server)


def command(job: str, store: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", f"jobs.{job}", *SMALL, "--store", str(store), *more]


def submit(client: JobSubmissionClient, name: str, words: list[str]) -> JobStatus:
    """How the job ended."""
    client.submit_job(entrypoint=shlex.join(words), submission_id=name)
    wait_for(lambda: client.get_job_status(name).is_terminal(), name, 240)
    return client.get_job_status(name)


def run_in(store: Path) -> Run:
    (run,) = Store(store).runs()
    return run


def kinds(run: Run) -> set[str]:
    """The stages that have committed something, without their labels."""
    return {stage.partition("-")[0] for stage in run.stages()}


@pytest.fixture(scope="module")
def swept(server: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a sweep that was submitted as jobs.sweep says, under the id `sweep`."""
    store = tmp_path_factory.mktemp("swept")
    words = [COMMAND, "job", "submit", "--address", server, "--submission-id", "sweep", "--"]
    ended = subprocess.run(
        [*words, *command("sweep", store)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return store


def test_a_submitted_sweep_commits_every_table(client: JobSubmissionClient, swept: Path) -> None:
    assert client.get_job_status("sweep") == JobStatus.SUCCEEDED
    run = run_in(swept)
    assert kinds(run) == SWEPT
    assert run.verify() == []
    assert run.read("effects", "norms").num_rows == 64
    assert "Most selective neurons" in client.get_job_logs("sweep")


def test_an_id_is_good_for_one_submission_and_another_id_repeats_nothing(
    client: JobSubmissionClient, swept: Path
) -> None:
    run = run_in(swept)
    before, objects = attempts(run), sorted(run.objects.list(""))
    with pytest.raises(RuntimeError, match=r"sweep.* already exists"):
        client.submit_job(entrypoint=shlex.join(command("sweep", swept)), submission_id="sweep")
    assert submit(client, "sweep-again", command("sweep", swept)) == JobStatus.SUCCEEDED
    assert client.get_job_logs("sweep-again").count("complete") >= len(SWEPT)
    assert attempts(run) == before
    assert sorted(run.objects.list("")) == objects


def test_a_job_goes_on_from_where_another_one_ended(
    client: JobSubmissionClient, tmp_path: Path
) -> None:
    assert submit(client, "calibrate", command("calibrate", tmp_path)) == JobStatus.SUCCEEDED
    run = run_in(tmp_path)
    assert kinds(run) == {"plan", "texts", "calibrate"}
    before = attempts(run)
    assert submit(client, "effects", command("effects", tmp_path)) == JobStatus.SUCCEEDED
    assert kinds(run) == {"plan", "texts", "calibrate", "effects"}
    assert before.items() <= attempts(run).items()
    assert run.verify() == []


def test_a_job_that_cannot_start_fails_with_one_sentence(
    client: JobSubmissionClient, tmp_path: Path
) -> None:
    words = command("effects", tmp_path, "--recipe", "vit_b32")
    assert submit(client, "misspelt", words) == JobStatus.FAILED
    logs = client.get_job_logs("misspelt")
    assert "clipneuron: there is no recipe 'vit_b32': expected demo, vit_b_32" in logs
    assert "Traceback" not in logs
    assert list(tmp_path.iterdir()) == []


EVIDENCE = ["--evaluation-limit", "8", "--pools", "demo", "--sizes", "2", "--detail-layers", "4"]
EVIDENCE += ["--indirect-neurons", "2", "--indirect-images", "4"]


def test_a_submitted_reproduction_commits_the_evidence(
    client: JobSubmissionClient, tmp_path: Path
) -> None:
    words = command("reproduce", tmp_path, "--limit", "12", *EVIDENCE)
    assert submit(client, "reproduce", words) == JobStatus.SUCCEEDED
    run = run_in(tmp_path)
    assert kinds(run) >= {
        "evaluation",
        "classifier",
        "ablations",
        "first",
        "activation",
        "indirect",
    }
    assert run.verify() == []
    logs = client.get_job_logs("reproduce")
    assert "The paper's claims" in logs
    assert Path(logs.rpartition("report: ")[2].strip()).read_text().startswith("# ")


def test_each_job_ends_with_its_stage(tmp_path: Path) -> None:
    """Without a cluster, for these are the same few lines."""
    done = {"plan", "texts"}
    for job in ("calibrate", "effects", "directions", "descriptions"):
        words = command(job, tmp_path, "--limit", "12", "--engine", "in-process")
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run(words, cwd=ROOT, env=environment, check=True, capture_output=True)
        done.add(job)
        assert kinds(run_in(tmp_path)) == done
    words = command("ablations", tmp_path, "--limit", "12", "--engine", "in-process", *EVIDENCE)
    subprocess.run(words, cwd=ROOT, env=environment, check=True, capture_output=True)
    done |= {"explanations", "evaluation", "classifier", "reconstructions", "ablations"}
    assert kinds(run_in(tmp_path)) == done
