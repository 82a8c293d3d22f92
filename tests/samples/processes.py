"""Real processes for the tests: started from a clean server, so no thread is forked in mid-air.

They get the environment that the test has when they start, not the one that the server began with.
"""

import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["clipneuron.store.objects.s3", "tests.samples.tables"])


def run_in_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """What the function returns in a process of its own, None if that process dies first."""
    return run_together(function, [arguments])[0]


def run_together(function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
    """What the function returns for each tuple of arguments, all processes running side by side."""
    started = [_start(function, each) for each in arguments]
    return [_finish(process, channel) for process, channel in started]


def barrier(parties: int) -> Any:
    """A barrier that may be passed as an argument."""
    return _CONTEXT.Barrier(parties)


def start(function: Callable[..., Any], *arguments: Any) -> BaseProcess:
    """A running process, for those who want to kill it."""
    process = _CONTEXT.Process(
        target=_call, args=(dict(os.environ), function, arguments), daemon=True
    )
    sys.audit("tests.start")  # which only tests with the mark `process` may
    process.start()
    return process


def _call(
    environment: dict[str, str], function: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    function(*arguments)


def _start(
    function: Callable[..., Any], arguments: tuple[Any, ...]
) -> tuple[BaseProcess, Connection]:
    ours, theirs = _CONTEXT.Pipe(duplex=False)
    process = start(_report, theirs, function, arguments)
    theirs.close()
    return process, ours


def _report(channel: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        channel.send((True, function(*arguments)))
    except BaseException:
        channel.send((False, traceback.format_exc()))


def _finish(process: BaseProcess, channel: Connection) -> Any:
    try:
        good, result = channel.recv()
    except EOFError:
        good, result = True, None
    process.join(60)
    assert process.exitcode is not None, "the process hangs"
    assert good, result
    return result
