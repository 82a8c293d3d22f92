"""{run}/lease.json: who is at work on a run. It spares work; that nothing is done twice is what commits are for.

A lease is created where there is none, and replaced only as it was seen: by its holder with every heartbeat, or by
somebody else once it was given back or has expired. It expires by the store's clock, a fixed time after its last
heartbeat, so clocks of hosts do not matter; its holder counts from before it sent that heartbeat, and knows earlier.
"""

import time
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from clipneuron.store import records
from clipneuron.store.errors import ObjectMissingError
from clipneuron.store.objects.protocol import Objects

KEY = "lease.json"
SECONDS = 120.0
"""How long a lease lasts without a heartbeat."""
_BEATS = 4
"""Heartbeats in that time."""
_TICK = 1.0
"""Seconds by which the store's times may be rounded."""


class Lease(BaseModel):
    """Who is at work, and for how long that holds."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    holder: str
    """A name that no other holder has."""
    host: str
    pid: int
    command: str
    since: str
    seconds: float
    """For which it holds after it was written."""
    beats: int = 0
    """Heartbeats so far, so that no two versions are the same."""
    returned: bool = False

    @property
    def who(self) -> str:
        """The holder in words: `command`, process and host, since when."""
        return f"`{self.command}`, process {self.pid} on {self.host}, since {self.since}"


@dataclass
class Held:
    """A lease of ours."""

    objects: Objects
    lease: Lease
    data: bytes
    """As the store has it."""
    asked: float
    """When its last heartbeat was begun, by this process's steady clock."""

    @property
    def pause(self) -> float:
        """Seconds between heartbeats."""
        return self.lease.seconds / _BEATS

    @property
    def is_certain(self) -> bool:
        """Whether nobody else can hold it."""
        return time.monotonic() < self.asked + self.lease.seconds

    def beat(self) -> bool:
        """True if the lease is ours for another while, False if somebody has taken it over; raises StoreError."""
        return self._write(self.lease.model_copy(update={"beats": self.lease.beats + 1}))

    def give_back(self) -> None:
        """Lets the next one begin at once; of a lease that was taken over, nothing is changed. Raises StoreError."""
        beats = self.lease.beats + 1
        self._write(self.lease.model_copy(update={"beats": beats, "returned": True}))

    def _write(self, lease: Lease) -> bool:
        asked, data = time.monotonic(), records.dump(lease)
        written = self.objects.replace(KEY, self.data, data)
        if not written:
            # A write whose answer never came may have been done all the same. Its bytes are not written again: who saw
            # them expire must find that they have changed.
            there = _dated(self.objects)
            if there is None or there[1].holder != lease.holder:
                return False
            lease = lease.model_copy(update={"beats": there[1].beats + 1})
            data = records.dump(lease)
            written = self.objects.replace(KEY, there[0], data)
        if written:
            self.lease, self.data, self.asked = lease, data, asked
        return written


def take(objects: Objects, command: str, seconds: float = SECONDS) -> Held | Lease:
    """The lease, from now on ours, or the one that somebody else holds; raises DamagedError, StoreError."""
    lease = Lease(
        holder=records.new_attempt(),
        command=command,
        since=records.now(),
        seconds=seconds,
        **records.host_info(),
    )
    data = records.dump(lease)
    while True:  # whoever is overtaken finds the lease of another one
        there = _dated(objects)
        asked = time.monotonic()
        if there is None:
            taken = objects.create(KEY, data)
        elif _stands(objects, there[1], there[2]):
            return there[1]
        else:
            taken = objects.replace(KEY, there[0], data)
        if taken:
            return Held(objects, lease, data, asked)


def holder(objects: Objects) -> Lease | None:
    """The lease that somebody holds now, None if nobody does; raises DamagedError, StoreError."""
    there = _dated(objects)
    return there[1] if there and _stands(objects, there[1], there[2]) else None


def _stands(objects: Objects, lease: Lease, modified: float) -> bool:
    """Whether a lease that was written at this time of the store is still somebody's."""
    return not lease.returned and objects.present() <= modified + lease.seconds + _TICK


def _dated(objects: Objects) -> tuple[bytes, Lease, float] | None:
    """The lease as it is written, and when that was, by the store's clock.

    Read at once: if the bytes came later than their time, a lease could pass for older than it is.
    """
    try:
        data, modified = objects.dated(KEY)
    except ObjectMissingError:
        return None
    return data, records.load(Lease, data, objects.location(KEY)), modified
