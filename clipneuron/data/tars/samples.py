"""The samples of one tar: members that share a key, of which one is the picture and others state its class."""

import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from clipneuron.data.columns import EACH, Columns
from clipneuron.data.files import is_text
from clipneuron.data.label_values import checked, stated, stated_in
from clipneuron.data.passed_over.names import SUFFIXES, is_hidden, is_reserved
from clipneuron.data.tars.members import Place, Tar

UNREADABLE = "label that cannot be read"

_NAME = re.compile(r"((?:.*/)?[^./][^./]*)\.([^/]+)")
_NAME_TO_THE_LAST_DOT = re.compile(r"((?:.*/)?[^/]+)\.([^./]+)")


class _Picture(NamedTuple):
    name: str
    kind: str
    place: Place


@dataclass
class _Sample:
    """The neighbours under one key."""

    key: str
    pictures: list[_Picture] = field(default_factory=list)
    number: int | None = None
    """The class as .cls has it."""
    described: dict[str, Any] = field(default_factory=lambda: stated(None, None, None))
    """The class as .json has it."""

    @property
    def label(self) -> dict[str, Any]:
        """The class; a number in .cls takes precedence over one in .json, which may name it."""
        if self.number is None:
            return self.described
        return stated(self.number, None, self.described["text"] or self.described["name"])


@dataclass
class Samples:
    """Reads the samples of one tar."""

    tar: Tar
    columns: Columns
    trouble: str = ""
    """Why the first label that cannot be read can't."""

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row for each picture, and one without `image` for a class whose picture stands elsewhere in the tar.

        Raises ValueError for several pictures under one key, where none is asked for.
        """
        for sample in self._samples():
            for picture in sample.pictures:
                offset, size = picture.place
                yield {
                    "key": sample.key,
                    "image": picture.name,
                    "offset": offset,
                    "size": size,
                    **sample.label,
                }
            if not sample.pictures and any(value is not None for value in sample.label.values()):
                yield {"key": sample.key, "image": None, **sample.label}
            elif not sample.pictures:
                self.tar.skipped["sample without a picture"] += 1

    def _samples(self) -> Iterator[_Sample]:
        """Adjacent members of one key, taken together."""
        sample: _Sample | None = None
        for member in self.tar.members():
            named = self._named(member)
            place = named and self.tar.found(member)
            if named is None or place is None:
                self.tar.skipped["broken link"] += named is not None
                continue
            key, kind = named
            if sample is None or sample.key != key:
                if sample is not None:
                    yield sample
                sample = _Sample(key)
            self._add(sample, _Picture(member.name, kind, place))
        if sample is not None:
            yield sample

    def _named(self, member: tarfile.TarInfo) -> tuple[str, str] | None:
        """A member's key and what follows it; None for what is not part of a sample, which is counted."""
        if member.isdir():
            return None
        pattern = _NAME_TO_THE_LAST_DOT if self.columns.member == EACH else _NAME
        named = pattern.fullmatch(member.name)
        skipped = self.tar.skipped
        if not (member.isreg() or member.islnk() or member.issym()) or member.issparse():
            skipped["not a file"] += 1
        elif not is_text(member.name):
            skipped["name is not UTF-8"] += 1
        elif is_hidden(member.name):
            skipped["hidden"] += 1
        elif is_reserved(member.name):
            skipped["reserved name"] += 1
        elif named is None:
            skipped["not a picture"] += 1
        else:
            return named[1], named[2].lower()
        return None

    def _add(self, sample: _Sample, member: _Picture) -> None:
        if self._is_picture(member.kind):
            if sample.pictures and self.columns.member != EACH:
                raise ValueError(self._several(sample, member))
            sample.pictures.append(member)
        elif PurePosixPath(f"x.{member.kind}").suffix in SUFFIXES:
            self.tar.skipped["other picture of a sample"] += 1
        elif self.columns.label and member.kind in ("cls", "json"):
            self._state(sample, member)

    def _is_picture(self, kind: str) -> bool:
        asked = self.columns.member
        if asked and asked != EACH:
            return kind == asked
        return PurePosixPath(f"x.{kind}").suffix in SUFFIXES

    def _state(self, sample: _Sample, member: _Picture) -> None:
        """Take what a .cls or .json says of the class; one that is broken leaves its own sample without a class."""
        data = self.tar.contents(member.place)
        if data is None:
            return
        place = f"{self.tar.place}/{member.name}"
        try:
            record: Any = (
                int(data.decode("utf-8-sig")) if member.kind == "cls" else json.loads(data)
            )
        except ValueError as error:
            self.tar.skipped[UNREADABLE] += 1
            cls = member.kind == "cls"
            why = "expected the number of a class (names go to .json)" if cls else str(error)
            self.trouble = self.trouble or f"{place} holds {data[:20]!r}: {why}"
            return
        if member.kind == "cls":
            sample.number = checked(record, place, self.columns)
        else:
            record = record if isinstance(record, dict) else {}
            sample.described = stated_in(record, place, self.columns)

    def _several(self, sample: _Sample, member: _Picture) -> str:
        first = sample.pictures[0]
        if first.name == member.name:
            return (
                f"{self.tar.place} has two pictures called {member.name}, as a tar that was appended to, or several "
                "that were joined: make it again with one of them"
            )
        return (
            f"{self.tar.place} has two pictures under the key {sample.key!r} ({first.name} and {member.name}): "
            "expected "
            f"one picture per sample; say which end of the name is the picture's with {self.columns.field('member')}, "
            f"such as {first.kind} or {member.kind}, or {EACH} where every picture is a sample of its own"
        )
