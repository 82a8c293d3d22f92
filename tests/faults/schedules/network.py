"""The way between actors and the bucket: requests and answers that are late, lost, doubled, refused or stale."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

from tests.faults.schedules.bucket import Bucket, Moment, refusal
from tests.faults.schedules.scheduler import Actor, Death, Killed, Scheduler, current

ENDPOINT = "http://simulated"
TIMEOUT = 10.0
"""Seconds for which a client waits for an answer."""
RETRIES = 20.0
"""Seconds for which a client repeats a request, by its own clock."""
LATEST = 60.0
"""Seconds for which a request may be on its way. (S3 refuses those that were signed more than 15 minutes ago.)"""
STALE = 20.0
"""Seconds that an answer to a listing may lag behind. (AWS promises 0 since 2020; not every store does.)"""
FAULTS = ("reset", "lost", "late", "twice", "SlowDown", "InternalError", "applied, 500", "conflict")
"""What may happen to a request:

reset         the connection breaks before it arrives
lost          it is applied, and its answer never comes
late          the client has given up when it arrives, and is applied
twice         it is applied and answered, and applied once more later
SlowDown      throttled
InternalError refused with a 500, not applied
applied, 500  refused with a 500, and applied nevertheless
conflict      409 to a conditional write, another of which is under way
"""


@dataclass
class Weather:
    """How likely what is."""

    faults: float = 0.0
    """Of requests."""
    stale: float = 0.0
    """Of pages of listings."""
    slow: float = 0.0
    """Of requests that take seconds in place of milliseconds."""


@dataclass
class Network:
    """Carries requests of actors to the bucket and answers back."""

    scheduler: Scheduler
    bucket: Bucket
    weather: Weather = field(default_factory=Weather)
    log: list[tuple[float, str, str, str, str]] = field(default_factory=list)
    """Time, actor, method, key and fate of every request."""
    met: Counter[str] = field(default_factory=Counter)
    deserted: bool = False
    """Whether one actor is left alone: its requests are answered at once, and nothing goes wrong."""

    def put(self, key: str, data: bytes, create: bool, match: str) -> Any:
        """PUT."""
        by = current().name
        return self._write(
            "CREATE" if create else "REPLACE" if match else "PUT",
            key,
            lambda: self.bucket.put(self.scheduler.now, by, key, data, create, match),
        )

    def delete(self, key: str) -> Any:
        """DELETE."""
        by = current().name
        return self._write("DELETE", key, lambda: self.bucket.delete(self.scheduler.now, by, key))

    def read(self, method: str, key: str, apply: Callable[[], Any]) -> Any:
        """Any request that changes nothing."""
        return self._ask(method, key, apply, ("reset", "lost", "SlowDown", "InternalError"))

    def list(self, prefix: str, delimiter: str, after: str) -> Any:
        """A page of a listing."""
        lag = 0.0
        if self.scheduler.dice.random() < self.weather.stale:
            lag = self.scheduler.dice.uniform(0, STALE)
        sent = self.scheduler.now
        return self.read(
            "LIST",
            f"{prefix} after {after.rpartition('/')[2]!r}" + (f" {lag:.0f} s old" if lag else ""),
            lambda: self.bucket.list(prefix, delimiter, after, max(sent, self.scheduler.now) - lag),
        )

    def _write(self, method: str, key: str, apply: Callable[[], Any]) -> Any:
        kinds = FAULTS if method in ("CREATE", "REPLACE") else FAULTS[:-1]
        return self._ask(method, key, apply, kinds)

    def _ask(self, method: str, key: str, apply: Callable[[], Any], kinds: tuple[str, ...]) -> Any:
        actor = current()
        self._begin(actor)
        if self.deserted:
            return self._answer_at_once(actor, method, key, apply)
        dice = self.scheduler.dice
        fate = dice.choice(kinds) if dice.random() < self.weather.faults else ""
        self.met[fate] += 1
        self.log.append((self.scheduler.now, actor.name, method, key, fate))
        self.scheduler.after(self._delay(), lambda: self._arrive(actor, method, apply, fate))
        answer = self.scheduler.wait()
        if _dies(actor, after=True):
            actor.killed = True
        if actor.killed:
            raise Killed
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _answer_at_once(self, actor: Actor, method: str, key: str, apply: Callable[[], Any]) -> Any:
        self.log.append((self.scheduler.now, actor.name, method, key, ""))
        self.met[""] += 1
        self.scheduler.now += 0.01
        answer = apply()
        if _dies(actor, after=True):
            actor.killed = True
            raise Killed
        return answer

    def _begin(self, actor: Actor) -> None:
        """What may happen to the actor before it asks."""
        actor.requests += 1
        if actor.stall and actor.stall[0] == actor.requests:
            self.scheduler.sleep(actor.stall[1] * actor.pace)
        if _dies(actor, after=False):
            actor.killed = True
        if actor.killed:
            raise Killed

    def _arrive(self, actor: Actor, method: str, apply: Callable[[], Any], fate: str) -> None:
        """The request is at the store: do to it what is to be done, and wake the actor with an answer."""
        after, dice = self.scheduler.after, self.scheduler.dice
        if fate == "reset":
            answer: Any = ConnectionClosedError(endpoint_url=ENDPOINT)
        elif fate == "lost":
            _applied(apply)
            answer = ReadTimeoutError(endpoint_url=ENDPOINT)
        elif fate == "late":
            after(dice.uniform(0, LATEST), lambda: _applied(apply))
            answer = ReadTimeoutError(endpoint_url=ENDPOINT)
        elif fate in REFUSALS:
            answer = refusal(*REFUSALS[fate], method)
        elif fate == "applied, 500":
            _applied(apply)
            answer = refusal("InternalError", 500, method)
        else:
            answer = _applied(apply)
            if fate == "twice":
                after(dice.uniform(0, LATEST), lambda: _applied(apply))
        wait = TIMEOUT if isinstance(answer, ReadTimeoutError) else self._delay()
        after(wait, lambda: actor.wake(answer))

    def _delay(self) -> float:
        dice = self.scheduler.dice
        if self.weather.slow and dice.random() < self.weather.slow:
            return dice.uniform(0.5, TIMEOUT / 2)
        return dice.random() / 10


REFUSALS: Mapping[str, tuple[str, int]] = {
    "SlowDown": ("SlowDown", 503),
    "InternalError": ("InternalError", 500),
    "conflict": ("ConditionalRequestConflict", 409),
}


class Client:
    """As much of aiobotocore's client as stores ask of it, over the network."""

    def __init__(self, network: Network) -> None:
        self.network = network

    async def put_object(
        self,
        *,
        Bucket: str,  # noqa: N803
        Key: str,  # noqa: N803
        Body: bytes,  # noqa: N803
        IfNoneMatch: str = "",  # noqa: N803
        IfMatch: str = "",  # noqa: N803
        ContentType: str = "",  # noqa: N803
    ) -> Any:
        """Put, create, or replace one version."""
        return self.network.put(Key, bytes(Body), create=IfNoneMatch == "*", match=IfMatch)

    async def delete_object(self, *, Bucket: str, Key: str) -> Any:  # noqa: N803
        """Delete."""
        return self.network.delete(Key)

    async def get_object(self, *, Bucket: str, Key: str) -> Any:  # noqa: N803
        """Get."""
        held = self.network.read("GET", Key, lambda: self.network.bucket.get(Key))
        return {
            "Body": _Body(held.data),
            "ContentLength": len(held.data),
            "LastModified": Moment(held.modified),
            "ETag": held.etag,
        }

    async def head_object(self, *, Bucket: str, Key: str) -> Any:  # noqa: N803
        """Head."""
        return self.network.read("HEAD", Key, lambda: self.network.bucket.head(Key))

    async def list_objects_v2(
        self,
        *,
        Bucket: str,  # noqa: N803
        Prefix: str,  # noqa: N803
        Delimiter: str = "",  # noqa: N803
        ContinuationToken: str = "",  # noqa: N803
    ) -> Any:
        """A page."""
        return self.network.list(Prefix, Delimiter, ContinuationToken)

    def get_paginator(self, name: str) -> Any:
        """Of uploads in parts, of which there are none: objects here are small."""
        assert name == "list_multipart_uploads"
        return SimpleNamespace(paginate=lambda **_: _nothing())


class _Body:
    def __init__(self, data: bytes) -> None:
        self.data = data

    async def __aenter__(self) -> "_Body":
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def read(self) -> bytes:
        return self.data


async def _nothing() -> Any:
    for page in ():
        yield page


def _applied(apply: Callable[[], Any]) -> Any:
    """The bucket's answer, or its refusal."""
    try:
        return apply()
    except Exception as error:
        return error


def _dies(actor: Actor, *, after: bool) -> bool:
    death: Death | None = actor.death
    return death is not None and (death.request, death.after) == (actor.requests, after)
