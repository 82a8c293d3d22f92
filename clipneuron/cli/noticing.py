"""What `--notify` adds to a command: word of its end, whichever it is."""

import argparse
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from clipneuron.reports.printing import print


@dataclass
class Ending:
    """How a command ended; as an error, until something else is known."""

    status: int = 1
    error: str = ""


def shown_command() -> str:
    """This command as leases and reports show it, to whoever reads them: without where its notice goes."""
    from clipneuron.operations.usage.notices import without_target

    return shlex.join(["clipneuron", *without_target(sys.argv[1:])])


@contextmanager
def noticed(chosen: argparse.Namespace, words: Sequence[str]) -> Iterator[Ending]:
    """Give notice of what is done in the block, where that was asked for; the ending is filled in there."""
    ending, target = Ending(), getattr(chosen, "notify", None)
    if not target:
        yield ending
        return
    from clipneuron.operations.usage.notices import Account, send

    chosen.account = Account(chosen.command.__name__, words)
    try:
        yield ending
    finally:
        problem = send(target, chosen.account.notice(ending.status, ending.error))
        if problem:
            print(f"no notice could be given (--notify): {problem}", file=sys.stderr)
