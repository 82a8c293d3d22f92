"""Jobs as one submits them: to a real job server, where they succeed, fail in words, and may be repeated."""

import runpy
import shlex
import subprocess
import sys
import unittest.mock
from pathlib import Path
from typing import NamedTuple

import pytest
from ray.job_submission import JobStatus, JobSubmissionClient

from clipneuron.store.store import Run, Store
from tests.faults.hooks import wait_for
from tests.faults.worlds import attempts

pytestmark = [pytest.mark.environment, pytest.mark.slow, pytest.mark.timeout(300)]
ROOT = Path(__file__).resolve().parents[2]
COMMAND = str(Path(sys.executable).with_name("ray"))
HERE = ["--engine", "in-process"]
SMALL = ["--recipe", "demo", "--limit", "64", "--top", "6", "--layers", "4"]
SWEPT = {"plan", "calibrate", "effects", "directions", "texts", "pool", "descriptions"}


def command(job: str, store: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", f"jobs.{job}", *SMALL, "--store", str(store), *more]


def submit(jobs: JobSubmissionClient, name: str, words: list[str]) -> JobStatus:
    """How the job ended."""
    jobs.submit_job(entrypoint=shlex.join(words), submission_id=name)
    wait_for(lambda: jobs.get_job_status(name).is_terminal(), name, 240)
    return jobs.get_job_status(name)


def run_in(store: Path) -> Run:
    (run,) = Store(store).runs()
    return run


def kinds(run: Run) -> set[str]:
    """The stages that have committed something, without their labels."""
    return {stage.partition("-")[0] for stage in run.stages()}


def do_here(words: list[str]) -> None:
    """The job in this process, which is spared the start of another."""
    with (
        unittest.mock.patch.object(sys, "argv", words[2:]),
        pytest.raises(SystemExit, match=r"^0$"),
    ):
        runpy.run_module(words[2], run_name="__main__")


class Swept(NamedTuple):
    """A store in which two jobs have worked, one after the other."""

    store: Path
    calibrated: dict[tuple[str, str], str]
    """The attempts that the first one, `calibrate`, has left."""


@pytest.fixture(scope="module")
def swept(
    jobs: JobSubmissionClient, job_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Swept:
    """A sweep that was submitted as jobs.sweep says, under the id `sweep`, after a job for its first stages here."""
    store = tmp_path_factory.mktemp("swept")
    do_here(command("calibrate", store, *HERE))
    assert kinds(run_in(store)) == {"plan", "texts", "pool", "calibrate"}
    calibrated = attempts(run_in(store))
    words = [COMMAND, "job", "submit", "--address", job_server, "--submission-id", "sweep", "--"]
    ended = subprocess.run(
        [*words, *command("sweep", store)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return Swept(store, calibrated)


def test_a_submitted_sweep_commits_every_table(jobs: JobSubmissionClient, swept: Swept) -> None:
    assert jobs.get_job_status("sweep") == JobStatus.SUCCEEDED
    run = run_in(swept.store)
    assert kinds(run) == SWEPT
    assert run.verify() == []
    assert run.read("effects", "norms").num_rows == 64
    assert "Most selective neurons" in jobs.get_job_logs("sweep")


def test_an_id_is_good_for_one_submission_and_the_same_words_repeat_nothing(
    jobs: JobSubmissionClient, swept: Swept
) -> None:
    run = run_in(swept.store)
    before, objects = attempts(run), sorted(run.objects.list(""))
    with pytest.raises(RuntimeError, match=r"sweep.* already exists"):
        jobs.submit_job(entrypoint=shlex.join(command("sweep", swept.store)), submission_id="sweep")
    do_here(command("sweep", swept.store, *HERE))
    assert attempts(run) == before
    assert sorted(run.objects.list("")) == objects


def test_a_job_goes_on_from_where_another_one_ended(swept: Swept) -> None:
    assert swept.calibrated
    assert swept.calibrated.items() <= attempts(run_in(swept.store)).items()


def test_a_job_that_cannot_start_fails_with_one_sentence(
    jobs: JobSubmissionClient, tmp_path: Path
) -> None:
    words = command("effects", tmp_path, "--recipe", "vit_b32")
    assert submit(jobs, "misspelt", words) == JobStatus.FAILED
    logs = jobs.get_job_logs("misspelt")
    assert "clipneuron: there is no recipe 'vit_b32': expected demo, vit_b_32" in logs
    assert "Traceback" not in logs
    assert list(tmp_path.iterdir()) == []


EVIDENCE = ["--evaluation-limit", "8", "--pools", "demo", "--sizes", "2", "--detail-layers", "4"]
EVIDENCE += ["--indirect-neurons", "2", "--indirect-images", "4"]

STAGES = {
    "calibrate": {"plan", "texts", "pool", "calibrate"},
    "effects": {"effects"},
    "directions": {"directions"},
    "descriptions": {"descriptions"},
    "ablations": {"evaluation", "classifier", "reconstructions", "ablations"},
    "reproduce": {"first", "activation", "indirect"},
    "concepts": {"concept", "concepts", "direct", "head", "statements"},
}
"""What each job does after those before it."""

LOOKED_AT = ["--concepts-limit", "6", "--concept-layers", "4", "--concepts-methods"]
MORE = {
    "ablations": EVIDENCE,
    "reproduce": EVIDENCE,
    "concepts": [*LOOKED_AT, "second-order", "textspan"],
}


def test_each_job_ends_with_its_stage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a cluster, for these are the same few lines."""
    done: set[str] = set()
    for job, own in STAGES.items():
        words = command(job, tmp_path, "--limit", "12", *HERE, *MORE.get(job, []))
        do_here(words)
        done |= own
        assert kinds(run_in(tmp_path)) == done
        if job == "reproduce":
            said = capsys.readouterr().out
            assert "The paper's claims" in said
            report = said.rpartition("report: ")[2].split("\n\n")[0].strip()
            assert Path("".join(report.splitlines())).read_text().startswith("# ")
    assert run_in(tmp_path).verify() == []
