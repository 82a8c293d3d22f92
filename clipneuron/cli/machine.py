"""`clipneuron doctor`."""

import argparse
from typing import Any

from clipneuron.cli.options import add_command

EXAMPLES = """\
exit status: 0 all that is needed is there, 1 something is missing

examples:
  clipneuron doctor
      the first thing to read when something fails
  clipneuron doctor --store s3://runs
      where runs are kept on S3: its endpoint, and whether credentials are there (they are not printed)
"""


def add_commands(commands: Any) -> None:
    """doctor."""
    parser = add_command(
        commands,
        "doctor",
        "print what this machine and installation have",
        doctor,
        epilog=EXAMPLES,
    )
    parser.add_argument(
        "--store", default=".", help="where runs would be stored: a folder, or s3://bucket/prefix"
    )


def doctor(chosen: argparse.Namespace) -> int:
    """`clipneuron doctor`: status 1 when something that is needed is missing."""
    from clipneuron.doctor import findings

    marks = {True: "ok     ", False: "MISSING", None: "       "}
    bad = 0
    for finding in findings(chosen.store):
        bad += finding.fine is False
        print(f"{marks[finding.fine]} {finding.subject:16} {finding.found}")
    return 1 if bad else 0
