"""`clipneuron jobs`, `logs` and `stop`: what runs on a cluster."""

import argparse
import time
from typing import TYPE_CHECKING, Any

from clipneuron.cli import signals
from clipneuron.cli.operations.submit import pass_on_now, say, waiting
from clipneuron.cli.options.parser import add_command
from clipneuron.cli.options.submitting import add_address, add_patience
from clipneuron.cli.units import show_table
from clipneuron.reports.markup import terminal
from clipneuron.reports.printing import print
from clipneuron.reports.quantities import duration

if TYPE_CHECKING:  # Ray takes seconds to import, which --help is spared
    from clipneuron.engine.jobs import Job, JobServer

JOBS_EXAMPLES = """\
examples:
  clipneuron jobs --address http://HEAD:8265
      every job that the cluster remembers; `clipneuron status --store ...` tells of runs, from their store alone
"""
LOGS_EXAMPLES = """\
examples:
  clipneuron logs run-3f9a --address http://HEAD:8265
      what the job has written so far; its name, or how it begins
  clipneuron logs run-3f9a --address http://HEAD:8265 --follow
      and what it writes, until it ends; Ctrl-C leaves it running
"""
STOP_EXAMPLES = """\
examples:
  clipneuron stop run-3f9a --address http://HEAD:8265
      ask it to end, and wait until it has; what is committed stays, and the same submission goes on from there
"""


def add_commands(commands: Any) -> None:
    """jobs, logs and stop."""
    parser = add_command(commands, "jobs", "list a cluster's jobs", jobs, epilog=JOBS_EXAMPLES)
    add_address(parser)
    does = "print what a job has written"
    parser = add_command(commands, "logs", does, logs, epilog=LOGS_EXAMPLES)
    parser.add_argument("job", help="its name, or how it begins")
    parser.add_argument(
        "--follow", action="store_true", help="go on until it ends; the exit status is the job's"
    )
    add_address(parser)
    add_patience(parser)
    parser = add_command(commands, "stop", "stop a job on a cluster", stop, epilog=STOP_EXAMPLES)
    parser.add_argument("job", help="its name, or how it begins")
    add_address(parser)
    add_patience(parser)


def jobs(chosen: argparse.Namespace) -> int:
    """`clipneuron jobs`."""
    server = _server(chosen)
    found = server.jobs()
    if not found:
        print(f"no job has been submitted to {server.address}")
        return 0
    headings = ("job", "state", "exit status", "began", "took", "store")
    rows = (_cells(job) for job in reversed(found))
    show_table(terminal(f"Jobs at {server.address}", headings, rows, spare=("store", "took")))
    return 0


def logs(chosen: argparse.Namespace) -> int:
    """`clipneuron logs`."""
    from clipneuron.operations.submit.following import Following, GoneError
    from clipneuron.operations.submit.submission import outcome

    server = _server(chosen)
    job = _named(server, chosen.job)
    if not chosen.follow:
        pass_on_now(server.written(job.name))
        return 0
    try:
        with signals.saying("leaving: the job goes on"):
            ended = Following(server, job.name, pass_on_now, waiting(chosen)).end()
    except GoneError as gone:
        raise ValueError(str(gone)) from gone
    except KeyboardInterrupt as signal:
        say(
            f"{job.name} goes on. To stop it: clipneuron stop {job.name} --address {server.address}"
        )
        return signal.status if isinstance(signal, signals.Stopped) else 130
    status, what = outcome(ended)
    say(what)
    return status


def stop(chosen: argparse.Namespace) -> int:
    """`clipneuron stop`."""
    from clipneuron.operations.submit.submission import stopped

    server = _server(chosen)
    job = _named(server, chosen.job)
    if job.over:
        print(f"{job.name} has ended already: {job.state}")
        return 0
    ended = stopped(server, job.name, waiting(chosen))
    if not ended.over:
        raise RuntimeError(f"{job.name} was asked to stop, but is {ended.state} still: ask again")
    print(f"{job.name}: {ended.state}; what is committed stays, and the same command goes on")
    return 0


def _server(chosen: argparse.Namespace) -> "JobServer":
    from clipneuron.engine.jobs import RayJobs

    return RayJobs(chosen.address)


def _named(server: "JobServer", name: str) -> "Job":
    """The job of this name, or the latest whose name begins so; raises ValueError."""
    found = [job for job in server.jobs() if job.name.startswith(name)]
    exact = [job for job in found if job.name == name]
    orders = {job.name.rpartition("-")[0] for job in found}
    if len(orders) > 1 and not exact:
        names = ", ".join(job.name for job in found)
        raise ValueError(f"several jobs begin with {name!r}: give one of {names}")
    if not found:
        raise ValueError(
            f"the cluster at {server.address} knows no job {name!r}: `clipneuron jobs` lists them"
        )
    return (exact or found)[-1]


def _cells(job: "Job") -> tuple[str, ...]:
    end = job.ended or time.time()
    return (
        job.name,
        job.state,
        "-" if job.status is None else str(job.status),
        f"{duration(max(0.0, time.time() - job.begun))} ago",
        duration(end - job.begun),
        job.notes.get("store", "-"),
    )
