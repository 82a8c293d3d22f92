"""Errors of a disk: whether they are the disk's for certain, and what to tell the user."""

import errno
from pathlib import Path

from clipneuron.store.errors import PlaceError, StoreError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_PERMISSION = {errno.EACCES, errno.EPERM, errno.EROFS}
_OF_THE_PLACE = {
    getattr(errno, name)
    for name in (
        *(
            "ENOTCONN",
            "ESTALE",
            "ENODEV",
            "ENXIO",
            "EREMOTEIO",
            "ENOMEDIUM",
            "ESHUTDOWN",
            "ENOLINK",
        ),
        *("EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN", "ENETUNREACH", "ETIMEDOUT", "ECOMM", "EPROTO"),
        *("EKEYEXPIRED", "EKEYREVOKED", "ENOKEY"),  # network disks with tickets: AFS, Kerberos
        *("EMFILE", "ENFILE", "ENOMEM", "EAGAIN"),  # this machine's own trouble
    )
    if hasattr(errno, name)
}


def of_the_place(error: OSError) -> bool:
    """True where another file would meet the same: a disk that went away, a network that is down.

    False says only that the error may be the file's own. EIO is one of these: a bad sector, or a dying disk.
    """
    return isinstance(error, ConnectionError | TimeoutError) or error.errno in _OF_THE_PLACE


def explained(error: OSError, action: str, path: Path) -> StoreError:
    """The error that names the path, what was wrong there and what to do about it."""
    kind = PlaceError if of_the_place(error) or error.errno == errno.EIO else StoreError
    return kind(f"can't {action} {path}: {error.strerror or error}{_advice(error)}")


def _advice(error: OSError) -> str:
    if error.errno in _FULL:
        return ". Nothing was left half-written: free some space and run the same command again"
    if error.errno in _NO_PERMISSION:
        return ": check who owns it and whether the disk is mounted read-only"
    if of_the_place(error) or error.errno == errno.EIO:
        return ": check the disk, and whether it is still mounted"
    return ""
