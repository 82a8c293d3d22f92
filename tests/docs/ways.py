"""How each command of the documentation is carried out by the tests, or why it is not: the first way that fits.

A command that no way fits, and a way that fits no command, fail `test_commands.py`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from tests.docs.world import Outcome, World

Act = Callable[[World, str], Outcome]


@dataclass(frozen=True)
class Runs:
    """Carried out in the small world, to the end."""

    of: str
    """How the command begins; a regular expression."""
    shows: str
    """What it prints then, across lines; a regular expression."""
    by: Act = World.on_runs
    status: int = 0
    writes: tuple[str, ...] = ()
    starts: bool = False
    """Whether it starts a process."""
    long: bool = False
    """Whether it takes seconds even here, and is left to `make environment`."""


@dataclass(frozen=True)
class RunsElsewhere:
    """Carried out by another test, which goes further."""

    of: str
    test: str
    """file::test below tests/."""


@dataclass(frozen=True)
class NotRun:
    """What it would take that tests do not have; its options are looked at all the same."""

    of: str
    why: str


Way = Runs | RunsElsewhere | NotRun

MEASURES = (
    "a measurement of minutes to hours on a quiet machine; its results stand where it is named"
)
CLUSTER = "needs a Ray cluster on AWS, Google Cloud or machines of one's own"
SERVER = (
    "needs ports and a Ray of its own; tests/operations/test_job_server.py has a real job server"
)
KUBERNETES = "needs a Kubernetes cluster with KubeRay; what it applies is checked by tests/deploy/test_kubernetes.py"
WEIGHTS = "downloads OpenAI's weights, for which there is no network here"
CHANGED = 4
"""`clipneuron compare`: more has changed than is allowed."""

WAYS: tuple[Way, ...] = (
    # Runs and lines of work
    NotRun(r"clipneuron (run|explain) --model ViT-B-16 --pretrained openai", WEIGHTS),
    RunsElsewhere(
        r"clipneuron run .*--notify https:",
        "operations/test_notices.py::test_what_was_done_is_posted_without_where_to",
    ),
    Runs(
        r"clipneuron run .*--notify \"tee",
        r"complete.*tables: ",
        starts=True,
        writes=("last-run.json",),
    ),
    Runs(r"clipneuron run .*--log-format json", r'^\{.*"event": "shard"'),
    Runs(r"clipneuron run --help", r"usage: clipneuron run.*examples:"),
    Runs(r"clipneuron run ", r"descriptions.*tables: "),
    Runs(r"clipneuron explain .*--explanation-painter", r"CoSy.*report: ", long=True),
    Runs(r"clipneuron explain ", r"correlation.*report: ", long=True),
    Runs(r"clipneuron segment \S+\.jpg", r"sheet: \w+/sheet\.png.*maps: "),
    Runs(r"clipneuron segment .*vit_", r"report\.md: ", long=True),
    Runs(r"clipneuron segment ", r"report\.md: "),
    Runs(r"clipneuron concepts \S+\.jpg", r"cat\.jpg", writes=("concepts.png",)),
    Runs(r"clipneuron concepts ", r"report\.md: ", long=True),
    NotRun(
        r"clipneuron reproduce .*answers\.jsonl",
        "needs a language model's answers for 1,000 classes",
    ),
    Runs(r"clipneuron reproduce ", r"The paper's claims.*report: ", long=True),
    Runs(
        r"clipneuron class-prompts ",
        r"\d requests: prompts\.jsonl",
        by=World.as_it_is,
        writes=("prompts.jsonl",),
    ),
    Runs(r"clipneuron attack .*(--pairs all|vit_)", r"second-order.*table3\.md: ", long=True),
    Runs(r"clipneuron attack ", r"second-order.*table3\.md: "),
    Runs(r"clipneuron review ", r"review at http://"),
    Runs(
        r"clipneuron trace .*--to it\.png",
        r"Words in the caption.*Neurons that gave them",
        writes=("it.png",),
    ),
    Runs(r"clipneuron trace ", r"Words in the caption.*Neurons that gave them"),
    Runs(
        r"clipneuron atlas .*--single cards\.html",
        r"2 neurons: cards\.html",
        writes=("cards.html",),
        long=True,
    ),
    Runs(r"clipneuron atlas .*--against", r"", writes=("atlas/index.html",), long=True),
    Runs(r"clipneuron atlas vit_b_32 ", r"", writes=("sites/vit_b_32/index.html",), long=True),
    Runs(r"clipneuron atlas ", r"", writes=("demo-atlas/index.html",)),
    # Looking after them
    Runs(r"clipneuron plan .*--extend", r"to plan +\d+ images|nothing new", long=True),
    Runs(
        r"clipneuron plan ", r"to plan +\d+ images|nothing new: all of these pictures are planned"
    ),
    Runs(r"clipneuron status ", r"effects.*complete"),
    Runs(
        r"clipneuron failures .*--table", r"rows: failures\.parquet", writes=("failures.parquet",)
    ),
    Runs(r"clipneuron failures ", r"nothing failed"),
    Runs(r"clipneuron retry-failed ", r"nothing was changed"),
    Runs(r"clipneuron verify ", r"all objects of \d+ commits are as they were committed"),
    Runs(r"clipneuron vacuum .*--keep-runs", r"\d of \d+ runs|of the recipe"),
    Runs(r"clipneuron vacuum ", r"older than|\d+ of \d+.* removed"),
    Runs(r"clipneuron tables .*--schema", r"layer_0"),
    Runs(r"clipneuron tables .*norms", r"norms.*\.parquet"),
    Runs(r"clipneuron tables ", r"norms.*directions"),
    Runs(r"clipneuron runs ", r"(demo|vit_b_32)-\w+.*100"),
    Runs(r"clipneuron usage .*--json", r"^\{"),
    Runs(r"clipneuron usage .*--core-hour", r"effects.*per million pictures"),
    Runs(r"clipneuron usage ", r"core time.*not counted: "),
    Runs(r"clipneuron doctor", r"torch", by=World.as_it_is),
    Runs(r"clipneuron cluster size ", r"nodes|GPUs", by=World.as_it_is),
    Runs(r"clipneuron compare .*--fail-", r"changed: ", by=World.on_compared, status=CHANGED),
    Runs(
        r"clipneuron compare .*--match norms --parquet",
        r"norms",
        by=World.on_compared,
        writes=("matches.parquet", "matches/report.md"),
    ),
    Runs(
        r"clipneuron compare .*--page changes",
        r"page: changes/report\.md",
        by=World.on_compared,
        writes=("changes.json", "changes.parquet", "changes/report.md", "changes/cosines.png"),
    ),
    Runs(r"clipneuron compare ", r"A: .*B: ", by=World.on_compared),
    # Jobs and schedules
    Runs(
        r"clipneuron submit .*--as slurm",
        r"sbatch sweep\.sh",
        by=World.on_a_job_server,
        writes=("sweep.sh",),
    ),
    Runs(r"clipneuron submit ", r"(run|atlas)-[0-9a-f]{12}-\d", by=World.on_a_job_server),
    Runs(r"clipneuron (jobs|logs|stop) ", r"run-[0-9a-f]{12}-1|hello", by=World.on_a_job_server),
    Runs(
        r"clipneuron schedule .*--as crontab",
        r"15 2 \* \* \* cd \S+ && \S+clipneuron",
        by=World.as_it_is,
    ),
    Runs(r"clipneuron schedule .*--as systemd", r"", by=World.as_it_is, writes=("units",)),
    Runs(r"clipneuron schedule .*--as kubernetes", r"kind: CronJob", by=World.as_it_is),
    Runs(r"clipneuron schedule .*--as ray-cron", r"kind: RayCronJob", by=World.as_it_is),
    Runs(r"clipneuron schedule .*--as github", r"cron: ", by=World.as_it_is),
    # Clusters
    RunsElsewhere(
        r"python -m jobs\.sweep", "jobs/test_jobs.py::test_a_submitted_sweep_commits_every_table"
    ),
    NotRun(r"ray (up|down|dashboard|monitor)\b", CLUSTER),
    NotRun(r"ray (start|stop|job|get-auth-token)\b", SERVER),
    NotRun(r"kubectl ", KUBERNETES),
    NotRun(
        r"docker ",
        "needs Docker; tests/deploy/test_dockerfile.py does the Dockerfile's steps one by one",
    ),
    # Working on it
    Runs(
        r"make demo",
        r"correlation.*report: ",
        by=World.by_make,
        writes=("demo-atlas/index.html",),
        long=True,
    ),
    NotRun(
        r"make (test|environment|check|\.venv/ready)", "is what runs the tests, or what they run in"
    ),
    NotRun(r"pip install", "installs a gigabyte from the network"),
    NotRun(r"chromium ", "needs a browser; tests/browser visits these pages where there is one"),
    NotRun(
        r"python -m clipneuron\.demo\.training\.train",
        "evaluates the whole held-out world; its figures stand beside it",
    ),
    Runs(r"python benchmarks/schedules\.py --seed", r"seed 1249", by=World.as_a_program),
    RunsElsewhere(
        r"python benchmarks/scraped\.py",
        "operations/test_scraped.py::test_a_node_offers_the_metrics_of_a_run_while_it_works",
    ),
    RunsElsewhere(
        r"python benchmarks/gpu\.py",
        "operations/test_gpu_benchmark.py::test_a_dry_run_prints_every_row",
    ),
    NotRun(
        r"python benchmarks/partitions\.py",
        "needs root and minutes; tests/faults/hosts cuts hosts off like it",
    ),
    NotRun(r"python benchmarks/", MEASURES),
)


def way_of(text: str) -> Way | None:
    """The first way that fits a command."""
    return next((way for way in WAYS if re.match(way.of, text)), None)
