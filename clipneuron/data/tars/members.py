"""The members of one tar from its headers: also behind its end, where tars were joined, and through links."""

import io
import posixpath
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

_HOPS = 16
_CHUNK = 2**16

Place = tuple[int, int]
"""The first byte of a member's contents, and how many there are."""


@dataclass
class Tar:
    """One open tar; `skipped` counts what is lost in it."""

    file: "io.BufferedReader[io.RawIOBase]"
    place: str
    size: int
    skipped: Counter[str]
    _targets: dict[str, Place | str] = field(default_factory=dict)
    """Where the contents of each member are, or the member that it links to; empty before the first link."""

    def members(self) -> Iterator[tarfile.TarInfo]:
        """The members from their headers, up to the end of the file or to where it is truncated.

        Blocks of zeros end a tar, but not the file: another may follow, as with `tar --ignore-zeros`. Raises
        ValueError for what is no header.
        """
        yield from self._members(self.skipped)

    def contents(self, place: Place) -> bytes | None:
        """The contents of a small member; None where the tar is truncated within it."""
        self.file.seek(place[0])
        data = self.file.read(place[1])
        return data if len(data) == place[1] else None

    def found(self, member: tarfile.TarInfo) -> Place | None:
        """Where a member's contents are, those of another member for a link; None for what has none."""
        if member.isreg() and not member.issparse():
            return member.offset_data, member.size
        if not (member.islnk() or member.issym()):
            return None
        if not self._targets:
            # Another pass over the headers, so that tars without links need not remember their members.
            self._targets = dict(map(_target, self._members(Counter())))
        at: Place | str = _linked(member)
        for _ in range(_HOPS):
            if isinstance(at, tuple):
                return at
            at = self._targets.get(at, "")
        return None

    def _members(self, skipped: Counter[str]) -> Iterator[tarfile.TarInfo]:
        try:
            with tarfile.open(fileobj=self.file, mode="r:") as tar:
                tar.offset = 0  # past the first member, which opening has read
                while (member := self._next(tar, skipped)) is not None:
                    yield member
        except tarfile.ReadError as error:
            raise ValueError(self._damaged(str(error))) from error

    def _next(self, tar: tarfile.TarFile, skipped: Counter[str]) -> tarfile.TarInfo | None:
        # Not tar.next(): it keeps a kilobyte per member, and mistakes a damaged header for the end.
        ended = False
        while True:
            self.file.seek(tar.offset)
            try:
                return tarfile.TarInfo.fromtarfile(tar)
            except tarfile.HeaderError as error:
                reached = self.file.tell()
                self.file.seek(tar.offset)
                block = self.file.read(tarfile.BLOCKSIZE)
                if len(block) == tarfile.BLOCKSIZE and not any(block):
                    ended = True
                    tar.offset = self._after_zeros(tar.offset)
                    if tar.offset >= self.size:
                        return None
                elif ended:
                    raise ValueError(self._with_tail(tar.offset)) from error
                elif len(block) < tarfile.BLOCKSIZE or reached >= self.size:
                    skipped["tar cut off"] += 1
                    return None
                else:
                    raise ValueError(self._damaged(f"byte {tar.offset}: {error}")) from error

    def _after_zeros(self, start: int) -> int:
        """The first block from `start` on that is not all zeros, or the end of the file."""
        self.file.seek(start)
        while chunk := self.file.read(_CHUNK):
            if any(chunk):
                zeros = len(chunk) - len(chunk.lstrip(b"\0"))
                return start + zeros - zeros % tarfile.BLOCKSIZE
            start += len(chunk)
        return self.size

    def _damaged(self, why: str) -> str:
        return (
            f"{self.place} is not a whole tar ({why}): expected a plain, uncompressed .tar; make it again, or "
            "leave it out"
        )

    def _with_tail(self, start: int) -> str:
        return (
            f"{self.place} goes on behind its end: {self.size - start:,} bytes from byte {start} on are no tar; "
            "make it "
            "again, or cut them off"
        )


def _target(member: tarfile.TarInfo) -> tuple[str, Place | str]:
    name = posixpath.normpath(member.name)
    if member.islnk() or member.issym():
        return name, _linked(member)
    return name, (member.offset_data, member.size)


def _linked(member: tarfile.TarInfo) -> str:
    """The name of the member that a link leads to: a hard link has it in full, a symbolic one from its own folder."""
    folder = posixpath.dirname(member.name) if member.issym() else ""
    return posixpath.normpath(posixpath.join(folder, member.linkname))
