"""`clipneuron submit`, `jobs`, `logs` and `stop`: what is typed, refused, said and handed to the cluster."""

import json
import os
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from clipneuron.cli import build_parser, main, signals
from clipneuron.cli.operations import jobs as listing
from clipneuron.cli.operations.submit import VERBS, _order
from clipneuron.cli.options.flags import recipe_of
from clipneuron.engine import jobs as servers
from clipneuron.operations.submit import checks
from clipneuron.operations.submit.orders import JOBS
from tests.operations.fakes import Planned, Server, Time

ROOT = Path(__file__).resolve().parents[2]
DEMO = ["--recipe", "demo", "--store", "s3://runs"]
HEAD = ["--address", "http://head:8265"]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server at every address, for commands whose waiting takes no time."""
    found = Server(Time())
    monkeypatch.setattr(servers, "RayJobs", lambda address: found)
    return found


def ordered(*words: str):
    chosen = build_parser().read(["submit", *words])
    return _order(chosen, recipe_of(chosen))


def test_every_verb_that_can_be_submitted_has_a_job_and_its_own_flags():
    parser = build_parser()
    assert set(VERBS) <= set(JOBS)
    for verb in VERBS:
        assert (ROOT / "jobs" / f"{JOBS[verb]}.py").exists()
        assert f'main(["{verb}", ' in (ROOT / "jobs" / f"{JOBS[verb]}.py").read_text()
        own = parser.verbs[verb]._option_string_actions
        submitted = parser.verbs["submit"].verbs[verb]
        submitted.check_options([])  # it gets its options when it is first used
        assert own.keys() <= submitted._option_string_actions.keys()


def test_the_job_gets_the_verbs_words_and_not_those_of_submitting():
    words = ["--layers", "4,5", *HEAD, "--no-wait", "--wait", "1800", "--job-retries=0"]
    order = ordered("run", *DEMO, *words, "--actors", "2", "-v", "--env", "A=b c")
    told = shlex.split(order.command)
    assert told[:3] == ["python", "-m", "jobs.sweep"]
    own = ["--recipe", "demo", "--store", "s3://runs", "--layers", "4,5", "--wait", "1800"]
    assert told[3:] == [*own, "--actors", "2", "-v"]
    assert order.environment == {"A": "b c"}
    assert build_parser().read(["run", *told[3:]]).store == "s3://runs"


def test_how_much_to_compute_with_makes_no_other_order():
    first = ordered("attack", *DEMO, "--pairs", "all")
    assert ordered("attack", *DEMO, "--pairs", "all", "--actors", "3", *HEAD).digest == first.digest
    assert ordered("attack", *DEMO, "--pairs", "dog:deer").digest != first.digest
    assert ordered("attack", *DEMO, "--pairs", "all", "--until", "words").digest != first.digest


def test_a_recipes_file_travels_as_text(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('model = "demo"\nimages = "demo"\nlimit = 64\n[attack]\neach = 3\n')
    order = ordered("run", "--recipe", str(file), "--store", "s3://runs", "--top", "5")
    told = shlex.split(order.command)[3:]
    assert str(file) not in told
    there = recipe_of(build_parser().read(["run", *told]))
    assert there == recipe_of(
        build_parser().read(["run", "--recipe", str(file), "--store", "x", "--top", "5"])
    )
    assert (there.name, there.limit, there.top, there.attack.each) == ("mine", 64, 5, 3)


def test_a_store_on_a_disk_has_the_same_address_everywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert ordered("run", "--recipe", "demo", "--store", "runs").store == str(tmp_path / "runs")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--images", "photos"], "--images is 'photos', a path that depends on where this command"),
        (["--images", "photos"], "give the absolute path that all nodes of the cluster have"),
        (["--model", "net"], "--model is 'net', a path that depends"),
        (["--pool", "texts.txt"], "--pool is 'texts.txt', a path that depends"),
        (["--no-wait", "--job-retries", "2"], "--no-wait leaves nobody behind who could retry"),
        (["--no-wait", "--deadline", "2h"], "--no-wait leaves nobody behind"),
        (["--job-retries", "-1"], "--job-retries -1 is too few: expected 0 or more"),
        (["--env", "NAME"], "--env 'NAME' is no variable: expected NAME=VALUE"),
        (["--actor-cpus", "-1"], "actor_cpus (--actor-cpus): Input should be greater"),
        (["--recipe", "{nothing"], "the recipe '{nothing' cannot be read as JSON"),
        (["--as", "slurm", "--sbatch", "gpu"], "'gpu' is no option of sbatch: expected one such"),
    ],
)
def test_what_means_nothing_there_is_refused_before_anybody_is_asked(
    tmp_path, monkeypatch, capsys, server, words, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net").mkdir()
    (tmp_path / "texts.txt").touch()
    assert main(["submit", "run", *DEMO, *words]) == 1
    assert message in capsys.readouterr().err
    assert server.asked == 0


@pytest.mark.parametrize("verb", ["segment", "concepts"])
def test_single_pictures_are_looked_at_here(verb, capsys, server):
    """They were in no order's name, so that a second picture was taken for the first."""
    assert main(["submit", verb, "/a/cat.jpg", *DEMO, *HEAD]) == 1
    assert "/a/cat.jpg is a picture of this machine" in capsys.readouterr().err
    assert server.asked == 0


def test_the_store_that_an_atlas_is_compared_with_makes_another_order():
    words = ["atlas", *DEMO, "--to", "/site", "--against", "demo-1", "--against-store"]
    assert ordered(*words, "s3://A").digest != ordered(*words, "s3://B").digest


def test_a_deadline_that_passes_before_there_is_a_job_is_said(capsys, server):
    server.lost = set(range(10_000))
    words = ["--no-checks", "--deadline", "1s"]
    assert main(["submit", "run", *DEMO, *HEAD, *words]) == 124
    assert "the deadline is over" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("verb", "option", "value"),
    [
        ("segment", "--segmentation-images", "photos"),
        ("segment", "--masks", "masks"),
        ("segment", "--mask-names", "texts.txt"),
        ("concepts", "--concepts-images", "photos"),
        ("concepts", "--concepts-hypernyms", "texts.txt"),
        ("explain", "--explanation-images", "photos"),
        ("explain", "--hypernyms", "texts.txt"),
        ("reproduce", "--pools", "texts.txt"),
        ("attack", "--blocked", "texts.txt"),
        ("atlas", "--to", "site"),
    ],
)
def test_paths_of_every_verb_have_to_be_those_of_all_nodes(
    tmp_path, monkeypatch, capsys, server, verb, option, value
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts.txt").touch()
    assert main(["submit", verb, *DEMO, option, value]) == 1
    assert f"{option} is '{value}', a path that depends on where" in capsys.readouterr().err
    assert server.asked == 0


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["rnu"], "clipneuron submit: there is no command 'rnu': expected one of run, reproduce"),
        (["review"], "there is no command 'review'"),
        (["run", *DEMO, "--layer=6"], "clipneuron submit run: there is no option --layer; did you"),
        (["run", "--recipe", "demo"], "the following arguments are required: --store"),
        (["run", *DEMO, "--deadline", "soon"], "'soon' is no time span"),
        (["run", *DEMO, "--as", "slrum"], "expected slurm"),
        ([], "the following arguments are required: VERB"),
    ],
)
def test_a_wrong_word_gets_one_line(capsys, words, answer):
    with pytest.raises(SystemExit, match="2"):
        main(["submit", *words])
    error = capsys.readouterr().err
    assert answer in error
    assert error.count("\n") == 1


def test_an_address_of_another_kind_is_told_apart():
    with pytest.raises(
        ValueError, match=r"'head:6379' is no address of a job server: expected http"
    ):
        servers.RayJobs("head:6379")


def test_the_log_goes_to_standard_output_and_the_rest_beside_it(server, capsys):
    assert main(["submit", "run", *DEMO, *HEAD, "--no-checks"]) == 0
    told = capsys.readouterr()
    assert told.out == "hello\n"
    assert "submitted run-" in told.err
    assert main(["submit", "run", *DEMO, *HEAD]) == 0  # no checks where nothing is submitted
    assert "has succeeded already" in capsys.readouterr().err


def test_no_wait_says_how_to_look(server, capsys):
    assert main(["submit", "run", *DEMO, *HEAD, "--no-checks", "--no-wait"]) == 0
    (name,) = server.submitted
    expected = f"clipneuron logs {name} --follow --address http://head:8265"
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_the_job_running(server, capfd, monkeypatch, number, status):
    def interrupted(seconds: float) -> None:
        signal.raise_signal(number)

    server.plans, server.clock.sleep = [Planned(("on\n",), "")], interrupted
    with heard():
        assert main(["submit", "run", *DEMO, *HEAD, "--no-checks"]) == status
    (job,) = server.known.values()
    error = capfd.readouterr().err
    assert job.state == "running"
    assert "leaving: the job goes on\n" in error
    assert f"clipneuron stop {job.name} --address http://head:8265" in error
    assert "what is committed stays (once more" not in error
    assert len(signals._sayings) == 1


def heard():
    """Signals as in a process of the foreground."""
    from contextlib import contextmanager

    @contextmanager
    def block() -> Iterator[None]:
        numbers = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
        before = {each: signal.signal(each, handler) for each, handler in numbers.items()}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    return block()


def finding(server: Server, monkeypatch: pytest.MonkeyPatch, **changes: object) -> None:
    """The small job that looks around finds a cluster like this machine, but for the changes."""
    like = {"python": checks.python(), "clipneuron": checks.version()}
    node = {"name": "n1", **like, "free": 2**40}
    found = {**like, "nodes": [node], **changes}
    server.plans = [
        Planned((f"a line\n{checks_mark()}{json.dumps(found)}\n",)),
        Planned(("done\n",)),
    ]
    monkeypatch.setattr(checks, "client_ray", lambda: "2.60.0")


def checks_mark() -> str:
    from clipneuron.operations.submit.inspection import MARK

    return MARK


def test_a_cluster_that_is_as_it_should_be_gets_the_job(server, capsys, monkeypatch):
    finding(server, monkeypatch)
    assert main(["submit", "run", *DEMO, *HEAD, "--env", "A=b"]) == 0
    check, job = server.submitted
    assert (check.partition("-")[0], job.partition("-")[0]) == ("check", "run")
    assert "jobs.check" in server.commands[0]
    assert list(server.known) == [job]  # the check is not left in the list
    assert capsys.readouterr().out == "done\n"


NODE = {"name": "n7", "free": 2**40, "python": checks.python(), "clipneuron": checks.version()}
LACKS = [
    ({"python": "3.9", "nodes": []}, "the cluster has Python 3.9, this machine"),
    (
        {"clipneuron": "0.0.1, numbers 1", "nodes": []},
        "the cluster has clipneuron 0.0.1, numbers 1, this machine",
    ),
    ({"store": "NoSuchBucket"}, "the store is out of the cluster's reach: NoSuchBucket"),
    ({"pictures": "there is no /x"}, "the pictures are out of the cluster's reach: there is no /x"),
    ({"weights": "no folder"}, "the weights are out of the cluster's reach: no folder"),
    ({"pools": ["pool clip: no space"]}, "pool clip: no space"),
    ({"nodes": [NODE | {"problem": "s is another place"}]}, "node n7: s is another place"),
    ({"nodes": [NODE | {"free": 5}]}, "node n7 has 5 B of disk left"),
    ({"nodes": [NODE | {"clipneuron": "0.0"}]}, "node n7 has Python 3"),
    ({"nodes": [{"name": "n7", "problem": "No module named x"}]}, "node n7: No module named x"),
]


@pytest.mark.parametrize(("changes", "sentence"), LACKS)
def test_each_thing_that_is_wrong_is_a_sentence_and_nothing_is_paid_for(
    server, capsys, monkeypatch, changes, sentence
):
    finding(server, monkeypatch, **changes)
    assert main(["submit", "run", *DEMO, *HEAD]) == 1
    error = capsys.readouterr().err
    first, *lines = error[error.index("clipneuron: ") :].splitlines()
    assert first == "clipneuron: the cluster is not ready (--no-checks submits anyway):"
    assert len(lines) == 1
    assert lines[0].strip().startswith(sentence)
    assert [name.partition("-")[0] for name in server.submitted] == ["check"]


def test_another_ray_and_a_cluster_without_clipneuron_are_said(server, capsys, monkeypatch):
    monkeypatch.setattr(checks, "client_ray", lambda: "2.59.0")
    server.plans = [Planned(("python: No module named jobs.check\n",), "failed", 1)]
    assert main(["submit", "run", *DEMO, *HEAD]) == 1
    error = capsys.readouterr().err
    assert "the cluster has Ray 2.60.0, this machine 2.59.0" in error
    assert "has no clipneuron with `jobs.check`, or an older one" in error


def test_jobs_logs_and_stop(server, capsys):
    assert main(["jobs", *HEAD]) == 0
    assert "no job has been submitted" in capsys.readouterr().out
    server.plans = [Planned(("one\n",), "failed", 3), Planned(("two\n",), "")]
    main(["submit", "run", *DEMO, *HEAD, "--no-checks"])
    main(["submit", "reproduce", *DEMO, *HEAD, "--no-checks", "--no-wait"])
    failed, going = server.submitted
    capsys.readouterr()
    assert main(["jobs", *HEAD]) == 0
    table = capsys.readouterr().out
    assert all(word in table for word in (failed, going, "failed", "running", "s3://runs"))
    assert main(["logs", "run", *HEAD]) == 0
    assert capsys.readouterr().out == "one\n"
    assert main(["logs", failed, "--follow", *HEAD]) == 3
    assert main(["logs", "r", *HEAD]) == 1
    assert "several jobs begin with 'r'" in capsys.readouterr().err
    assert main(["stop", "repro", *HEAD]) == 0
    assert server.known[going].state == "stopped"
    assert main(["stop", going, *HEAD]) == 0
    assert "has ended already: stopped" in capsys.readouterr().out
    assert main(["stop", "nothing", *HEAD]) == 1
    assert "knows no job 'nothing'" in capsys.readouterr().err


def test_the_last_try_is_the_one_that_is_meant():
    server = Server(Time())
    for name in ("run-aa-1", "run-aa-2"):
        server.submit(name, "", {}, {})
    assert listing._named(server, "run-aa").name == "run-aa-2"


SLURM = ["submit", "run", *DEMO, "--as", "slurm", "--nodes", "3", "--deadline", "2h"]


def test_a_script_for_slurm_says_what_to_allocate(tmp_path, capsys):
    out = tmp_path / "job.sh"
    assert (
        main([*SLURM, "--sbatch=--partition=gpu", "--sbatch=--gres=gpu:4", "--out", str(out)]) == 0
    )
    assert f"sbatch {out}" in capsys.readouterr().out
    head, *lines = out.read_text().splitlines()
    told = [line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH ")]
    assert head == "#!/bin/bash"
    assert told[0].startswith("--job-name=run-")
    assert told[1:] == [
        "--nodes=3",
        "--ntasks-per-node=1",
        "--exclusive",
        "--time=120",
        "--partition=gpu",
        "--gres=gpu:4",
    ]


@pytest.mark.process
@pytest.mark.parametrize(
    ("status", "restarts", "requeued"), [(0, 0, False), (1, 0, True), (1, 2, False), (2, 0, False)]
)
def test_a_script_for_slurm_runs_the_job_on_its_nodes(tmp_path, capsys, status, restarts, requeued):
    """With stand-ins for Slurm's programs that write down how they are called."""
    main([*SLURM, "--job-retries", "2", "--env", "A=it's"])
    (tmp_path / "job.sh").write_text(capsys.readouterr().out)
    scontrol = f'echo "$@" >> {tmp_path}/asked; [ "$1" = show ] && printf "n4\\nn5\\nn6\\n"'
    srun = f'printf "%s\\n" "$@" > {tmp_path}/told; env > {tmp_path}/env; exit {status}'
    for name, text in {"scontrol": scontrol, "srun": srun}.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    given = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "SLURM_JOB_NODELIST": "n[4-6]",
        "SLURM_JOB_NUM_NODES": "3",
        "SLURM_CPUS_ON_NODE": "64",
        "SLURM_JOB_ID": "17",
        "SLURM_RESTART_COUNT": str(restarts),
    }
    ended = subprocess.run(["bash", str(tmp_path / "job.sh")], env=given, check=False)
    assert ended.returncode == status
    told = (tmp_path / "told").read_text().splitlines()
    begin = told.index("symmetric-run")
    assert told[begin:][:5] == ["symmetric-run", "--address", "n4:6379", "--min-nodes", "3"]
    job = told[told.index("--") + 1 :]
    assert job[:5] == ["env", "RAY_ADDRESS=n4:6379", "python", "-m", "jobs.sweep"]
    assert job[5:] == ["--recipe", "demo", "--store", "s3://runs"]
    seen = (tmp_path / "env").read_text()
    assert "A=it's\n" in seen
    token = next(line for line in seen.splitlines() if line.startswith("RAY_AUTH_TOKEN="))
    assert len(token.partition("=")[2]) == 64
    assert ("requeue 17" in (tmp_path / "asked").read_text()) is requeued


def test_the_pages_table_of_tries_names_a_real_job():
    assert ordered("run", *DEMO).name(1) in (ROOT / "docs" / "submit.md").read_text()
