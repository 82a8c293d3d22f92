"""Who works on a run at a time: its lease is held, with heartbeats, for as long as the work takes."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from clipneuron.config.overlap import BusyError
from clipneuron.store import leases
from clipneuron.store.errors import StoreError
from clipneuron.store.leases import Held, Lease
from clipneuron.store.store import Run

_LOOKS = 12
"""Times that a lease is looked at while it lasts, by one who waits for it."""
logger = logging.getLogger(__name__)


@contextmanager
def working_on(
    run: Run,
    overlap: str,
    command: str,
    say: Callable[[str], None],
    seconds: float = leases.SECONDS,
) -> Iterator[None]:
    """Holds the run's lease in the block, unless overlap is allowed and somebody else has it.

    Raises BusyError where another one is at work and overlap is forbidden, StoreError where the lease cannot be had
    for another reason; where overlap is allowed, that is no reason not to work.
    """
    held = _taken(run, overlap, command, say, seconds)
    if held is None:
        yield
        return
    with _kept(held, run.name):
        yield


def _taken(
    run: Run, overlap: str, command: str, say: Callable[[str], None], seconds: float
) -> Held | None:
    try:
        found = leases.take(run.objects, command, seconds)
    except StoreError as error:
        if overlap != "allow":
            raise
        logger.warning("working without a lease: %s", error)
        return None
    if isinstance(found, Held):
        return found
    at_work = f"another command is at work on {run.name}: {found.who}"
    if overlap == "forbid":
        raise BusyError(f"{at_work}; the work is left to it")
    if overlap == "allow":
        return None
    say(f"{at_work}; this one waits for it")
    return _waited(run, command, seconds, found)


def _waited(run: Run, command: str, seconds: float, found: Held | Lease) -> Held:
    while isinstance(found, Lease):
        time.sleep(max(0.0, found.seconds) / _LOOKS)
        found = leases.take(run.objects, command, seconds)
    return found


@contextmanager
def _kept(held: Held, name: str) -> Iterator[None]:
    """Heartbeats in a thread of their own, until the end of the block, where the lease is given back."""
    ended = threading.Event()
    thread = threading.Thread(target=_beat, args=(held, ended, name), name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        try:
            held.give_back()
        except StoreError as error:
            logger.warning("the lease of %s was not given back, and expires: %s", name, error)


def _beat(held: Held, ended: threading.Event, name: str) -> None:
    said = False
    while not ended.wait(held.pause):
        try:
            if not held.beat():
                logger.warning("%s", _lost(name))
                return
        except (
            StoreError
        ) as error:  # the store may answer again before anybody else needs the lease
            if not held.is_certain and not said:
                logger.warning("%s (%s)", _lost(name), error)
                said = True


def _lost(name: str) -> str:
    return (
        f"the lease of {name} has expired, and another command may work on it as well: commits keep both from doing "
        "harm, and nothing that is done is done again"
    )
