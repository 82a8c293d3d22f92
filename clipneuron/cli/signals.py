"""Ctrl-C and SIGTERM: a command that is stopped says at once that it heard, and ends at once when it is told twice.

SIGTERM is how Kubernetes, Slurm and spot instances announce the end, a few seconds to minutes before SIGKILL.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_STOPPING = b"stopping: what is committed stays (once more to end at once)\n"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_heard: list[int] = []
"""The signal that has been heard."""
_sayings: list[bytes] = [_STOPPING]
"""What is said when one is heard: the last."""


class Stopped(KeyboardInterrupt):
    """A signal to stop, raised where the main thread is."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = 128 + number
        """The exit status, as a shell gives it for a program that a signal has ended."""


@contextmanager
def heeded() -> Iterator[None]:
    """Signals are heard during the block; not in a thread, where Python cannot, nor one that is ignored (nohup)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    _heard.clear()
    listen()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


@contextmanager
def saying(text: str) -> Iterator[None]:
    """In the block a signal is answered with this line."""
    _sayings.append(text.encode() + b"\n")
    try:
        yield
    finally:
        _sayings.pop()


def listen() -> None:
    """Hear them, also after a library has put handlers of its own: Ray ends the process with status 1 at a SIGTERM."""
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _hear)


def _hear(number: int, frame: FrameType | None) -> None:
    if _heard:
        os._exit(128 + number)
    _heard.append(number)
    os.write(2, _sayings[-1])  # unlike print, allowed at any moment
    raise Stopped(number)
