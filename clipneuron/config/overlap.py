"""What a command does where another one is at work on the same run."""

OVERLAP = ("allow", "wait", "forbid")
"""Work beside it, begin when it has ended, or leave the work to it."""

BUSY = 75
"""Exit status of a command that left the work to another one: EX_TEMPFAIL of sysexits.h, try again later."""


class BusyError(RuntimeError):
    """Another command is at work on the same run, and this one was to leave the work to it."""
