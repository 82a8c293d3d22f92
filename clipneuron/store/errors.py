"""The errors of stores and collections, as a small tree.

    Exception
    +-- StoreError            the store can't be written, or its contents are invalid
    |   +-- PlaceError           a place (disk, bucket, network) is in trouble: says nothing about what is there
    |   +-- ObjectMissingError   a requested object does not exist
    |   +-- DamagedError         what an object says is not what was written
    |   +-- RunMismatchError     a run exists, but under another configuration
    +-- ReadError             one picture can't be read: becomes a row with a status and a reason

A caller's mistake (a wrong path, name or column) is a plain ValueError.
"""

from collections.abc import Sequence


class StoreError(Exception):
    """The store can't be written, or its contents are invalid."""


class PlaceError(StoreError):
    """A place (a disk, a bucket, the way to it) is in trouble.

    It says nothing about any picture or shard: once the place is fixed, the same command goes on.
    """


class ObjectMissingError(StoreError):
    """A requested object is not in the store."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.location = location

    def __str__(self) -> str:
        return f"there is no object {self.location}"


class DamagedError(StoreError):
    """What an object says is not what was written; the message says which object, and how to repair it."""


class RunMismatchError(StoreError):
    """A run exists under this name, but its numbers come from another configuration."""

    def __init__(self, run: str, differences: Sequence[str]) -> None:
        super().__init__(run, tuple(differences))
        self.run = run
        self.differences = tuple(differences)

    def __str__(self) -> str:
        lines = "".join(f"\n  {line}" for line in self.differences)
        return (
            f"run {self.run} holds the numbers of another configuration:{lines}\n"
            "Use the stored values to resume it, or leave out the run's name to start a new run."
        )


UNREACHABLE = "unreachable"
"""The status of a picture whose place is in trouble; the picture itself may be fine."""


class ReadError(Exception):
    """One picture can't be read; `status` is the kind of failure, and `reason` explains it."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.status}: {self.reason}"
