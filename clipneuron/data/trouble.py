"""Whose fault it is that a picture can't be read: its own, or that of the place where it lies."""

from functools import cached_property

from clipneuron.data.files import Files
from clipneuron.store.errors import UNREACHABLE, PlaceError, ReadError
from clipneuron.store.objects import disk_errors


class Judge:
    """Tells a picture's own fault from trouble of the place, which is looked at when a first error leaves a doubt.

    A file that is gone, forbidden or unreadable is a fault of its own as long as others of the place can be read.
    """

    def __init__(self, files: Files) -> None:
        self._files = files

    def verdict(self, error: Exception, what: str) -> ReadError:
        """Why `what` can't be read: `missing`, `unreadable`, or UNREACHABLE where that says nothing about it."""
        reason = f"{what}: {getattr(error, 'strerror', None) or error}"
        if isinstance(error, OSError):
            if disk_errors.of_the_place(error):
                return ReadError(UNREACHABLE, reason)
            if self._trouble:
                return ReadError(UNREACHABLE, self._trouble)
        if isinstance(error, FileNotFoundError):
            return ReadError("missing", f"the file {what} is gone")
        return ReadError("unreadable", reason)

    @cached_property
    def _trouble(self) -> str:
        try:
            self._files.look()
        except PlaceError as error:
            return str(error)
        return ""
