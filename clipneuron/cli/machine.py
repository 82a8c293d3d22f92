"""`clipneuron doctor`."""

import argparse
from pathlib import Path
from typing import Any

from clipneuron.cli.options import add_command


def add_commands(commands: Any) -> None:
    """doctor."""
    parser = add_command(
        commands, "doctor", "print what this machine and installation have", doctor
    )
    parser.add_argument("--store", default=".", help="where runs would be stored")


def doctor(chosen: argparse.Namespace) -> int:
    """`clipneuron doctor`: status 1 when something that is needed is missing."""
    from clipneuron.doctor import findings

    marks = {True: "ok     ", False: "MISSING", None: "       "}
    bad = 0
    for finding in findings(Path(chosen.store)):
        bad += finding.fine is False
        print(f"{marks[finding.fine]} {finding.subject:16} {finding.found}")
    return 1 if bad else 0
