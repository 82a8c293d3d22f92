"""`clipneuron submit`: a verb as a job on a cluster, or as a script for Slurm."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from clipneuron.cli import atlas, attack, concepts, explain, reproduce, run, segment, signals
from clipneuron.cli.options.flags import cluster_of, recipe_of
from clipneuron.cli.options.parser import Borrowed, LateParser, Parser, add_command
from clipneuron.cli.options.submitting import (
    absolute,
    add_submitting,
    variable,
    words_for_elsewhere,
)
from clipneuron.config.named import SECTIONS
from clipneuron.config.recipe import Recipe
from clipneuron.reports.printing import pass_on, print

if TYPE_CHECKING:  # Ray takes seconds to import, which --help is spared
    from clipneuron.operations.submit.following import Patience
    from clipneuron.operations.submit.orders import Order
    from clipneuron.operations.submit.submission import Submission

EXAMPLES = """\
The job is known by a digest of the verb, the whole recipe, the store and where to stop, so submitting the same twice
is harmless: what runs is followed, what has succeeded is said, what failed is tried again. (A run's own fingerprint
also holds the weights' digest, which this machine may not have.) Ctrl-C leaves the job running. Flags of `run` and the
others are theirs; --address is that of the job server here, since a job is on its cluster already, and retries of the
whole job are --job-retries, since --retries is a task's.

exit status: the job's own; 143 it was stopped, 124 the deadline has passed

examples:
  clipneuron submit run --address http://HEAD:8265 --recipe vit_b_32 --images s3://pictures/train --store s3://runs
      check the cluster, submit `python -m jobs.sweep`, show its log until it ends
  clipneuron submit attack --address http://HEAD:8265 --recipe demo --pairs all --store s3://runs --no-wait
      submit it and return; `clipneuron logs` and `clipneuron jobs` look at it
  clipneuron submit run --address http://HEAD:8265 --recipe demo --store s3://runs --job-retries 3 --deadline 12h
      try the whole job up to four times; after twelve hours stop it
  clipneuron submit run --recipe demo --store /shared/runs --as slurm --nodes 4 --sbatch=--partition=gpu --out job.sh
      a script for `sbatch` that starts a Ray cluster over its nodes and does the work there
"""
VERB_EXAMPLES = """\
examples:
  clipneuron submit {verb} --address http://HEAD:8265 --recipe demo --store s3://runs
      `clipneuron submit --help` says more
"""


class Verb(NamedTuple):
    """A verb that can be submitted."""

    add_commands: Callable[[Any], None]
    paints: Callable[[Recipe], bool] = lambda _: False
    """Whether the work takes models of the pool gen, besides those of clip."""
    check: Callable[[argparse.Namespace], None] = lambda _: None
    """Raises ValueError for options that mean nothing on another machine."""

    def pools(self, recipe: Recipe) -> tuple[str, ...]:
        """The pools whose models the work takes."""
        return ("clip", "gen") if self.paints(recipe) else ("clip",)


def _check_bulk(chosen: argparse.Namespace) -> None:
    """Raises ValueError for single pictures, which are looked at where they are."""
    if chosen.pictures:
        raise ValueError(
            f"{chosen.pictures[0]} is a picture of this machine: `clipneuron {chosen.verb}` looks at single pictures "
            "here, and a job works on whole collections"
        )


VERBS = {
    "run": Verb(run.add_commands),
    "reproduce": Verb(reproduce.add_commands),
    "attack": Verb(attack.add_commands, lambda _: True),
    "segment": Verb(segment.add_commands, check=_check_bulk),
    "concepts": Verb(concepts.add_commands, check=_check_bulk),
    "explain": Verb(explain.add_commands, lambda recipe: bool(recipe.explanation.painter)),
    "atlas": Verb(atlas.add_commands, check=atlas.check_elsewhere),
}

ASKED = ("until", "extend", "grow", "prompts", "site", "against", "against_store")
"""Options that make an order another one, besides the recipe's and the store."""


def add_commands(commands: Any) -> None:
    """submit."""
    does = "run a verb as a job on a Ray cluster, follow it, and try it again"
    parser = add_command(
        commands, "submit", does, lambda _: 2, epilog=EXAMPLES, conflict_handler="resolve"
    )
    verbs = parser.add_subparsers(
        title="what to submit", required=True, metavar="VERB", parser_class=LateParser
    )
    for name in VERBS:
        about = f"submit `clipneuron {name}`"
        verbs.add_parser(
            name,
            fill=partial(_fill, name),
            help=about,
            description=f"{about[0].upper()}{about[1:]}.",
            epilog=VERB_EXAMPLES.format(verb=name),
            conflict_handler="resolve",
        )
    parser.verbs.update(verbs.choices)


def _fill(name: str, parser: Parser) -> None:
    """The verb's own options, then those of submitting: of two with one name the latter counts."""
    VERBS[name].add_commands(Borrowed(name, parser))
    add_submitting(parser)
    parser.set_defaults(command=submit, verb=name)


def submit(chosen: argparse.Namespace) -> int:
    """`clipneuron submit`."""
    VERBS[chosen.verb].check(chosen)
    recipe = recipe_of(chosen)
    cluster_of(chosen)
    _check(chosen, recipe)
    order = _order(chosen, recipe)
    if chosen.form:
        return _write_script(chosen, order)
    from clipneuron.engine.jobs import RayJobs
    from clipneuron.operations.submit.following import DeadlineError
    from clipneuron.operations.submit.submission import TIMED_OUT, Submission

    server = RayJobs(chosen.address)
    patience = waiting(chosen)
    submission = Submission(server, order, patience, say, pass_on_now, chosen.job_retries)
    try:
        if not chosen.no_checks and submission.is_new(chosen.again):
            _look_around(chosen, recipe, submission)
        return followed(submission, chosen)
    except DeadlineError:
        say("the deadline is over, and no job was followed: the same command goes on")
        return TIMED_OUT


def followed(submission: "Submission", chosen: argparse.Namespace) -> int:
    """Submit, and follow unless told otherwise; the exit status."""
    address = submission.server.address
    try:
        with signals.saying("leaving: the job goes on"):
            if not submission.begin(chosen.again):
                return 0
            if chosen.no_wait:
                say(f"its log: clipneuron logs {submission.name} --follow --address {address}")
                return 0
            return submission.finish()
    except KeyboardInterrupt as stop:
        if not submission.name:
            raise
        say(
            f"{submission.name} goes on. To follow it again: the same command. To stop it: clipneuron stop "
            f"{submission.name} --address {address}"
        )
        return stop.status if isinstance(stop, signals.Stopped) else 130


def waiting(chosen: argparse.Namespace) -> "Patience":
    """How long this command waits for what."""
    from clipneuron.operations.submit.clock import WallClock
    from clipneuron.operations.submit.following import Patience

    clock = WallClock()
    deadline = getattr(chosen, "deadline", None)
    limit = float("inf") if deadline is None else clock.now() + deadline
    return Patience(clock, chosen.patience, limit, say)


def say(text: str) -> None:
    """A line of ours: the job's own lines go to standard output."""
    print(text, file=sys.stderr, flush=True)


def pass_on_now(text: str) -> None:
    """A part of the job's log."""
    pass_on(text)
    sys.stdout.flush()


def _check(chosen: argparse.Namespace, recipe: Recipe) -> None:
    """Raises ValueError for what means nothing, or means something on this machine only."""
    if chosen.no_wait and (chosen.job_retries or chosen.deadline is not None):
        raise ValueError(
            "--no-wait leaves nobody behind who could retry the job or stop it: leave out --no-wait, or --job-retries "
            "and --deadline (the same command submits a failed job again)"
        )
    if chosen.job_retries < 0:
        raise ValueError(f"--job-retries {chosen.job_retries} is too few: expected 0 or more")
    for field, value in (_pictures(recipe) | _files(recipe)).items():
        if "://" not in value and not Path(value).expanduser().is_absolute():
            raise ValueError(
                f"`{field}` is {value!r}, a path that depends on where this command is typed: give the absolute path "
                "that all nodes of the cluster have, or s3://bucket/prefix"
            )


PICTURES = ("images", "masks")
"""Fields of a recipe and its sections that name pictures."""

FILES = (
    *("model", "pretrained", "pool", "pools", "classes", "templates", "hypernyms", "mask_names"),
    *("pairs", "blocked", "sentences", "captioner", "painter", "witness"),
)
"""Fields that may name a file or a folder."""

NAMES = (
    *("demo", "imagenet", "labels", "cifar10", "figure13", "all", "scenes", "tags"),
    *("masks", "voc", "coco", "clip", "deepfloyd", "flux"),
)
"""What they mean everywhere, whatever else is called so here, such as a folder of pictures."""


def _pictures(recipe: Recipe) -> dict[str, str]:
    """The places of pictures and masks, by field."""
    return {field: place for field, place in _named(recipe, PICTURES) if place not in ("", "demo")}


def _files(recipe: Recipe) -> dict[str, str]:
    """What else names a file or a folder that is here, by field."""
    named = _named(recipe, FILES)
    return {field: name for field, name in named if name not in NAMES and os.path.exists(name)}


def _named(recipe: Recipe, fields: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The values of these fields in the recipe and all of its sections."""
    sections = {"recipe": recipe} | {name: getattr(recipe, name) for name in SECTIONS}
    for section, config in sections.items():
        for field in fields:
            value = getattr(config, field, None) or ()
            for each in (value,) if isinstance(value, str) else value:
                yield f"{section}.{field}", each


def _order(chosen: argparse.Namespace, recipe: Recipe) -> "Order":
    from clipneuron.operations.submit.orders import order

    store = absolute(chosen.store)
    asked = {name: found for name in ASKED if (found := getattr(chosen, name, None))}
    return order(
        chosen.verb,
        recipe,
        words_for_elsewhere(chosen, store),
        store=store,
        asked=asked,
        python=chosen.python,
        environment=dict(map(variable, chosen.env)),
    )


def _look_around(chosen: argparse.Namespace, recipe: Recipe, submission: "Submission") -> None:
    """Raises ValueError with a sentence for everything that the cluster lacks."""
    from clipneuron.operations.submit.checks import problems
    from clipneuron.operations.submit.inspection import Wanted

    wanted = Wanted(
        store=submission.order.store,
        model=recipe.model,
        pretrained=recipe.pretrained,
        images=tuple(_pictures(recipe).values()),
        pools=VERBS[chosen.verb].pools(recipe),
        cluster=cluster_of(chosen),
    )
    say(f"looking around the cluster at {submission.server.address}")
    found = problems(submission.server, submission.order, wanted, submission.patience)
    if found:
        lines = "\n  ".join(found)
        raise ValueError(f"the cluster is not ready (--no-checks submits anyway):\n  {lines}")


def _write_script(chosen: argparse.Namespace, order: "Order") -> int:
    from clipneuron.operations.submit.slurm import script

    text = script(
        order,
        nodes=chosen.nodes,
        limit=chosen.deadline,
        retries=chosen.job_retries,
        options=chosen.sbatch,
    )
    if chosen.out:
        Path(chosen.out).write_text(text)
        print(f"script: {chosen.out}, for `sbatch {chosen.out}`")
    else:
        pass_on(text)
    return 0
