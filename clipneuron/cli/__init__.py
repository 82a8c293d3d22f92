"""The command line: everything a person types. Results go to standard output, progress to standard error."""

import argparse
import logging
import sys
from collections.abc import Sequence
from functools import cache

from clipneuron.cli import atlas as drawing
from clipneuron.cli import attack as attacking
from clipneuron.cli import concepts as conceiving
from clipneuron.cli import doctor as machine
from clipneuron.cli import explain as explaining
from clipneuron.cli import plan as planning
from clipneuron.cli import reproduce as reproducing
from clipneuron.cli import run as computing
from clipneuron.cli import segment as segmenting
from clipneuron.cli import signals
from clipneuron.cli.noticing import noticed
from clipneuron.cli.operations import cluster as sizing
from clipneuron.cli.operations import compare as comparing
from clipneuron.cli.operations import jobs as listing
from clipneuron.cli.operations import runs as keeping
from clipneuron.cli.operations import schedule as scheduling
from clipneuron.cli.operations import submit as submitting
from clipneuron.cli.operations import usage as accounting
from clipneuron.cli.options.fields import as_options
from clipneuron.cli.options.parser import Parser
from clipneuron.cli.upkeep import failures as failing
from clipneuron.cli.upkeep import retry as retrying
from clipneuron.cli.upkeep import status
from clipneuron.cli.upkeep import store as stores
from clipneuron.config.overlap import BUSY, BusyError
from clipneuron.reports.logs import JsonFormatter
from clipneuron.reports.printing import VisibleFormatter, print, tolerate_any_text
from clipneuron.store.errors import ReadError, StoreError
from clipneuron.version import __version__

EXAMPLES = """\
examples:
  clipneuron explain --recipe demo --store demo-run
      describe every neuron of the demo model with words, and measure how true they are of other pictures
  clipneuron run --recipe vit_b_32 --images s3://imagenet/train --store s3://runs --address auto
      the paper's setting, with OpenAI's ViT-B-32, on the Ray cluster that this machine belongs to
  clipneuron reproduce --recipe demo --store demo-run
      the paper's evidence: ablations, first-order and indirect effects, with a verdict for every claim
  clipneuron attack --recipe demo --pairs all --store demo-run
      pictures that the model takes for another class, made of its neurons' words
  clipneuron status --store s3://runs --watch
      how far the run is, from its store alone
  clipneuron doctor
      what this machine has and what is missing
"""


_STOPPED = "stopped; what is committed stays, and the same command goes on from there"
logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status: 130 after Ctrl-C, 143 after SIGTERM, 75 where the work was left to another one.

    Expected errors are one sentence unless --debug asks for the traceback.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    parser = build_parser()
    chosen = parser.read(words)
    tolerate_any_text()
    _log(chosen.verbose, chosen.log_format)
    with noticed(chosen, words) as ending:
        try:
            with signals.heeded():
                ending.status = int(chosen.command(chosen))
        except KeyboardInterrupt as stop:
            stopped = isinstance(stop, signals.Stopped)
            ending.status = stop.status if isinstance(stop, signals.Stopped) else 130
            ending.error = "stopped by a signal" if stopped else "stopped"
            _say(chosen, _STOPPED)
        except BusyError as busy:
            ending.status, ending.error = BUSY, str(busy)
            _say(chosen, str(busy))
        except (ValueError, OSError, RuntimeError, StoreError, ReadError) as error:
            ending.error = as_options(str(error))
            if chosen.debug:
                raise
            _say(chosen, f"clipneuron: {ending.error}")
    return ending.status


@cache
def build_parser() -> Parser:
    """The whole command line, which is put together once per process."""
    parser = Parser(
        prog="clipneuron",
        description="Second-order effects of CLIP's neurons, described with words.",
        epilog=EXAMPLES,
    )
    parser.add_argument("--version", action="version", version=f"clipneuron {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for module in (
        *(planning, computing, explaining, segmenting, conceiving, reproducing, attacking),
        drawing,
        *(submitting, listing),
        *(status, keeping, comparing, failing, retrying, stores, accounting, scheduling, sizing),
        machine,
    ):
        module.add_commands(commands)
    parser.verbs.update(commands.choices)
    return parser


def _log(verbose: bool, form: str) -> None:
    """Our own log to standard error; the libraries' only with --verbose, since their retries say little.

    As JSON it is for programs, which get a line per shard and nothing between the lines.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == "json" else VisibleFormatter("%(message)s"))
    logging.basicConfig(level=logging.INFO if verbose else logging.CRITICAL, handlers=[handler])
    every = verbose or form == "json"
    logging.getLogger("clipneuron").setLevel(logging.INFO if every else logging.WARNING)


def _say(chosen: argparse.Namespace, sentence: str) -> None:
    """The last sentence of a command that did not end well."""
    if chosen.log_format == "json":
        logger.error(sentence, extra={"event": "end"})
    else:
        print(sentence, file=sys.stderr)
