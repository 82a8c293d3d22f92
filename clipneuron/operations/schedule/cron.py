"""Cron expressions: read, checked, and written so that every scheduler takes them for the same times.

Dialects differ: only some know `@daily`, names in lists, 7 for Sunday or steps after a single number. An expression is
therefore written again in plain numbers. https://pubs.opengroup.org/onlinepubs/9799919799/utilities/crontab.html;
crontab(5) of cronie; https://pkg.go.dev/github.com/robfig/cron/v3, which Kubernetes uses.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise

_MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_MINUTES_OF_DAY = 24 * 60


@dataclass(frozen=True)
class Unit:
    """One of the five fields: what it counts, from where to where, and the names of its numbers."""

    name: str
    first: int
    last: int
    names: tuple[str, ...] = ()
    wraps: bool = False
    """Whether one more than the last is the first again: Sunday is 0 and 7."""


UNITS = (
    Unit("minute", 0, 59),
    Unit("hour", 0, 23),
    Unit("day of the month", 1, 31),
    Unit("month", 1, 12, _MONTHS),
    Unit("day of the week", 0, 6, WEEKDAYS, wraps=True),
)


@dataclass(frozen=True)
class Field:
    """The numbers that a field allows."""

    unit: Unit
    numbers: tuple[int, ...]
    """Rising."""
    step: int = 0
    """Of `*/step`, 1 of `*`; 0 where numbers were named."""

    @property
    def is_any(self) -> bool:
        """Whether every number is allowed."""
        return self.step == 1

    def __str__(self) -> str:
        if self.step:
            return "*" if self.step == 1 else f"*/{self.step}"
        return ",".join(ranges(self.numbers, "-"))


@dataclass(frozen=True)
class Cron:
    """A cron expression of five fields."""

    minutes: Field
    hours: Field
    days: Field
    months: Field
    weekdays: Field

    @classmethod
    def of(cls, text: str) -> "Cron":
        """The expression in a text; raises ValueError that says what is wrong with which field."""
        words = _MACROS.get(text.strip().lower(), text).split()
        if words and words[0].startswith("@"):
            known = ", ".join(_MACROS)
            raise ValueError(f"{text!r} is no time of day: expected five fields or one of {known}")
        if len(words) != len(UNITS):
            raise ValueError(
                f"{text!r} has {len(words)} fields: a cron expression has five, minute, hour, day of the month, month "
                "and day of the week, such as '15 2 * * *' for every day at 02:15"
            )
        found = cls(*(_field(word, unit) for word, unit in zip(words, UNITS, strict=True)))
        found._check(text)
        return found

    def __str__(self) -> str:
        return " ".join(map(str, self.fields))

    @property
    def fields(self) -> tuple[Field, ...]:
        """All five, in their order."""
        return self.minutes, self.hours, self.days, self.months, self.weekdays

    @property
    def either_day(self) -> bool:
        """Whether a day counts by its date *or* its weekday, as cron has it where both are named."""
        return not (self.days.is_any or self.weekdays.is_any)

    def falls_on(self, day: date) -> bool:
        """Whether there are times on that day."""
        if day.month not in self.months.numbers:
            return False
        by_date = day.day in self.days.numbers
        by_weekday = day.isoweekday() % 7 in self.weekdays.numbers
        return by_date or by_weekday if self.either_day else by_date and by_weekday

    def upcoming(self, after: datetime, count: int) -> list[datetime]:
        """The next times after this one, as the clock on the wall shows them."""
        found: list[datetime] = []
        start = after.replace(second=0, microsecond=0)
        # Every date and weekday comes together within 28 years, or 40 across a century.
        for offset in range(366 * 40):
            day = start.date() + timedelta(days=offset)
            if self.falls_on(day):
                times = (start.replace(day.year, day.month, day.day, *each) for each in self.times)
                found += [time for time in times if time > after]
            if len(found) >= count:
                break
        return found[:count]

    @property
    def times(self) -> list[tuple[int, int]]:
        """Hour and minute of each time of a day."""
        return [(hour, minute) for hour in self.hours.numbers for minute in self.minutes.numbers]

    @property
    def closest(self) -> int:
        """Minutes between the two times that come closest upon one another, where days follow each other."""
        minutes = [60 * hour + minute for hour, minute in self.times]
        return min(
            second - first for first, second in pairwise([*minutes, minutes[0] + _MINUTES_OF_DAY])
        )

    def _check(self, text: str) -> None:
        if self.weekdays.is_any and not any(
            self.days.numbers[0] <= _LONGEST[month - 1] for month in self.months.numbers
        ):
            raise ValueError(f"{text!r} never happens: these months have no such day")
        starred = [field for field in (self.days, self.weekdays) if field.step > 1]
        if self.either_day and starred:
            raise ValueError(
                f"{text!r}: cron and Kubernetes disagree about {starred[0]} as {starred[0].unit.name} where the other "
                "day is named too: list the days instead"
            )


def ranges(numbers: Sequence[int], to: str) -> list[str]:
    """Rising numbers as ranges where three or more follow one another.

    >>> ranges([1, 2, 3, 5, 6], "-")
    ['1-3', '5', '6']
    """
    found: list[list[int]] = []
    for number in numbers:
        if found and found[-1][-1] + 1 == number:
            found[-1].append(number)
        else:
            found.append([number])
    return [
        word
        for run in found
        for word in ([f"{run[0]}{to}{run[-1]}"] if len(run) > 2 else map(str, run))
    ]


def _field(text: str, unit: Unit) -> Field:
    starred = re.fullmatch(r"\*(?:/(\d+))?", text)
    step = _step(starred[1] or "1", text, unit) if starred else 0
    numbers = {number for part in text.split(",") for number in _part(part, text, unit)}
    if unit.wraps:
        numbers = {number % (unit.last + 1) for number in numbers}
    return Field(unit, tuple(sorted(numbers)), step)


def _part(part: str, text: str, unit: Unit) -> range:
    """The numbers of one part of a list."""
    span, slash, step = part.partition("/")
    every = _step(step, text, unit) if slash else 1
    if span == "*":
        return range(unit.first, unit.last + 1, every)
    first, dash, last = span.partition("-")
    start = _number(first, text, unit)
    if not dash:
        if slash:
            raise _wrong(text, unit, f"a step needs a range: write {first}-{unit.last}/{step}")
        return range(start, start + 1)
    end = _number(last, text, unit)
    if unit.wraps and end == 0 < start:  # fri-sun
        end = unit.last + 1
    if end < start:
        raise _wrong(text, unit, f"{span} runs backwards: write it as two, separated by a comma")
    return range(start, end + 1, every)


def _number(word: str, text: str, unit: Unit) -> int:
    if word.lower() in unit.names:
        return unit.first + unit.names.index(word.lower())
    last = unit.last + unit.wraps
    if word.isascii() and word.isdigit() and unit.first <= int(word) <= last:
        return int(word)
    named = f" or {unit.names[0]}-{unit.names[-1]}" if unit.names else ""
    raise _wrong(text, unit, f"expected {unit.first}-{last}{named}, *, lists, ranges and steps")


def _step(word: str, text: str, unit: Unit) -> int:
    size = unit.last - unit.first + 1
    if word.isascii() and word.isdigit() and 1 <= int(word) <= size:
        return int(word)
    raise _wrong(text, unit, f"a step is a number from 1 to {size}")


def _wrong(text: str, unit: Unit, why: str) -> ValueError:
    return ValueError(f"{text!r} is no {unit.name} of a cron expression: {why}")
