"""Stopping: heard at once, with the exit status of a shell, and at once when told twice."""

import signal
import threading
from collections.abc import Iterator

import pytest

from clipneuron.cli import build_parser, main, signals


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """Both signals as in a process of the foreground, whatever this test run is told to ignore."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def told_twice(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    statuses: list[int] = []

    def leave(status: int) -> None:
        statuses.append(status)
        raise SystemExit(status)

    monkeypatch.setattr(signals.os, "_exit", leave)
    return statuses


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_command_with_a_sentence_and_its_status(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], number: int, status: int
) -> None:
    before = signal.getsignal(number)

    def run(chosen: object) -> int:
        signal.raise_signal(number)
        return 0

    monkeypatch.setitem(build_parser().verbs["doctor"]._defaults, "command", run)
    assert main(["doctor"]) == status
    first, last = capfd.readouterr().err.splitlines()
    assert first == "stopping: what is committed stays (once more to end at once)"
    assert "the same command goes on from there" in last
    assert signal.getsignal(number) is before


def stopped_by(*numbers: int) -> None:
    """The first signal, and the others while it is being handled; after a library has put its own handler."""
    with signals.heeded():
        signal.signal(signal.SIGTERM, lambda *_: None)
        signals.listen()
        first, *others = numbers
        try:
            signal.raise_signal(first)
        finally:
            for number in others:
                signal.raise_signal(number)


def test_a_librarys_handler_does_not_stay(told_twice: list[int]) -> None:
    with pytest.raises(signals.Stopped) as stop:
        stopped_by(signal.SIGTERM)
    assert (stop.value.status, told_twice) == (143, [])


def test_a_second_signal_ends_at_once(told_twice: list[int]) -> None:
    with pytest.raises(SystemExit):
        stopped_by(signal.SIGTERM, signal.SIGINT)
    assert told_twice == [130]


def test_a_signal_that_is_ignored_stays_ignored(told_twice: list[int]) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with signals.heeded():
            signal.raise_signal(signal.SIGINT)
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_in_a_thread_nothing_is_changed() -> None:
    seen: list[object] = []

    def inside() -> None:
        with signals.heeded():
            seen.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert seen == [before]
