"""`clipneuron schedule`: what runs a command again and again, written for a scheduler."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipneuron.cli.options.flags import recipe_of
from clipneuron.cli.options.parser import add_command
from clipneuron.cli.options.values import from_zero, one_of
from clipneuron.reports.printing import print

if TYPE_CHECKING:
    from clipneuron.operations.schedule.job import Scheduled

VERBS = ("run", "explain", "reproduce", "attack", "segment", "concepts")
SCHEDULERS = ("crontab", "kubernetes", "ray-cron", "github", "systemd")
EXAMPLES = """\
The command runs with `--overlap forbid` unless it says otherwise: where another one is at work on the same run, it says
who, and ends with status 75. With --grow it looks for new pictures; where nothing has changed, it computes nothing.
A command whose --address is a job server's (http://...) is submitted there.

examples:
  clipneuron schedule "15 2 * * *" run --recipe demo --store demo-run --grow --as crontab
      a line for `crontab -e`: every night at a quarter past two
  clipneuron schedule "15 2 * * mon-fri" run --recipe demo --store demo-run --grow \\
      --as systemd --time-zone Europe/Berlin --missed catch-up --out units/
      a timer and its service, written into the folder units
  clipneuron schedule @daily run --recipe vit_b_32 --images s3://photos/new --store s3://runs --grow \\
      --address http://clipneuron-head-svc:8265 --as kubernetes --container registry.example.org/clipneuron:cpu
      a CronJob that submits to a Ray cluster
  clipneuron schedule @weekly run --recipe vit_b_32 --images s3://photos/new --store s3://runs --grow \\
      --as ray-cron --ray-cluster clipneuron
      a RayCronJob (alpha) on a RayCluster
  clipneuron schedule "30 4 * * 0" run --recipe demo --store s3://runs --grow \\
      --as github --container ghcr.io/owner/clipneuron:cpu --out .github/workflows/nightly.yml
      a workflow of GitHub Actions
"""


def add_commands(commands: Any) -> None:
    """schedule."""
    does = "write what runs a command on a schedule: a crontab, a CronJob, a workflow or a timer"
    parser = add_command(commands, "schedule", does, schedule, epilog=EXAMPLES, carries=True)
    parser.usage = "clipneuron schedule CRON COMMAND [the command's own options] --as SCHEDULER ..."
    parser.add_argument("cron", metavar="CRON", help="five fields, such as '15 2 * * *', or @daily")
    parser.add_argument(
        "verb", metavar="COMMAND", type=one_of(VERBS, "command to schedule"), help=", ".join(VERBS)
    )
    parser.add_argument(
        "--as",
        dest="kind",
        required=True,
        type=one_of(SCHEDULERS, "scheduler"),
        metavar="{" + ",".join(SCHEDULERS) + "}",
        help="what is to run it",
    )
    parser.add_argument(
        "--out", metavar="PLACE", help="write there: a new file, or a folder (default: print it)"
    )
    parser.add_argument(
        "--job-name", metavar="NAME", help="what it is called (default: clipneuron-COMMAND)"
    )
    parser.add_argument(
        "--time-zone",
        default="UTC",
        metavar="ZONE",
        help="in which CRON is meant, such as Europe/Berlin (default: UTC)",
    )
    missed = ("skip", "catch-up")
    parser.add_argument(
        "--missed",
        default="skip",
        type=one_of(missed),
        metavar="{" + ",".join(missed) + "}",
        help="times at which nothing could run: skip them, or catch up once (default: skip)",
    )
    parser.add_argument(
        "--history",
        type=from_zero,
        metavar="N",
        help="finished jobs that Kubernetes keeps (default: 3)",
    )
    parser.add_argument(
        "--container",
        default="",
        metavar="IMAGE",
        help="with clipneuron, for kubernetes and github",
    )
    parser.add_argument(
        "--secret", default="", help="Kubernetes Secret with the store's credentials as variables"
    )
    parser.add_argument(
        "--ray-cluster", default="", metavar="NAME", help="RayCluster of a RayCronJob"
    )


def schedule(chosen: argparse.Namespace) -> int:
    """`clipneuron schedule`."""
    from clipneuron.operations.schedule.rendering import render

    job = _job(chosen)
    files = render(job, chosen.kind)
    if chosen.out:
        _write(files, Path(chosen.out))
    else:
        print("\n".join(files.values()).removesuffix("\n"))
    _show_next(job)
    return 0


def _job(chosen: argparse.Namespace) -> "Scheduled":
    """What is to run; exits or raises ValueError where the scheduled command itself means nothing."""
    from clipneuron.cli import build_parser
    from clipneuron.operations.schedule.cron import Cron
    from clipneuron.operations.schedule.job import Scheduled

    cron = Cron.of(chosen.cron)
    words = [chosen.verb, *chosen.words]
    inner = build_parser().read(words)
    recipe_of(inner)
    if not any(word.partition("=")[0] == "--overlap" for word in words):
        words += ["--overlap", "forbid"]
    return Scheduled(
        cron=cron,
        words=tuple(words),
        program=_program(),
        folder=str(Path.cwd()),
        name=chosen.job_name or f"clipneuron-{chosen.verb}",
        time_zone=chosen.time_zone,
        catch_up=chosen.missed == "catch-up",
        history=chosen.history,
        container=chosen.container,
        secret=chosen.secret,
        ray_cluster=chosen.ray_cluster,
    )


def _program() -> tuple[str, ...]:
    """How this program is started, by full paths: schedulers have a PATH of their own."""
    command = Path(sys.executable).with_name("clipneuron")
    return (str(command),) if command.exists() else (sys.executable, "-m", "clipneuron.cli")


def _write(files: dict[str, str], place: Path) -> None:
    """Write the files into a folder, or the only one to a new place; raises ValueError, OSError."""
    if len(files) > 1 or place.is_dir():
        place.mkdir(parents=True, exist_ok=True)
        places = {place / name: text for name, text in files.items()}
    else:
        (text,) = files.values()
        places = {place: text}
    for path in places:
        if path.exists():
            raise ValueError(f"{path} exists already: remove it first, or give --out another place")
    for path, text in places.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"written: {path}", file=sys.stderr)


def _show_next(job: "Scheduled") -> None:
    """Say when it will run, for the eyes of whoever wrote the expression."""
    times = ", ".join(f"{time:%a %Y-%m-%d %H:%M}" for time in job.upcoming(3))
    if times:
        print(f"next: {times} ({job.time_zone})", file=sys.stderr)
