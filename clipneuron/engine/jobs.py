"""Jobs on the job server of a Ray cluster; nothing else knows Ray's job client.

Whoever follows a job asks a `JobServer`. Ray's own client waits for ever where a connection is lost without a word, and
ends its log as if the job were over where a server goes away (ray-project/ray#57002, #60665): here every request has a
limit, and whether a job is over is asked for, not concluded.
"""

import asyncio
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Protocol

if TYPE_CHECKING:  # Ray takes a second to import
    from ray.job_submission import JobDetails, JobSubmissionClient

State = Literal["pending", "running", "succeeded", "failed", "stopped"]

SECONDS = 20.0
"""How long one request may take."""
IDLE = 5.0
"""Seconds without a new line after which a log yields nothing, so that its reader can look around."""

_VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
"""Where Ray's client looks for an address; it prefers them to the one that it is given."""


class LostError(ConnectionError):
    """The job server does not answer now; it may later."""


class RefusedError(PermissionError):
    """The job server wants another token, or any."""


class TakenError(ValueError):
    """The cluster has, or has had, a job of this name."""


@dataclass(frozen=True)
class Job:
    """A submitted job as the server tells of it."""

    name: str
    state: State
    message: str = ""
    status: int | None = None
    """The exit status of its process, None before its end and where its process was lost."""
    begun: float = 0.0
    """Seconds since 1970 by the server's clock, as is `ended`; 0 while that is not known."""
    ended: float = 0.0
    command: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)
    """What its submitter has put down about it."""

    @property
    def over(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self.state in ("succeeded", "failed", "stopped")


class JobServer(Protocol):
    """What following a job takes. Everything raises LostError where nobody answers, RefusedError without a token."""

    address: str

    def ray_version(self) -> str:
        """The cluster's version of Ray."""
        ...

    def submit(
        self, name: str, command: str, notes: Mapping[str, str], environment: Mapping[str, str]
    ) -> None:
        """Have a command run on the cluster under this name; raises TakenError."""
        ...

    def find(self, name: str) -> Job | None:
        """The job of this name, None where the cluster knows none."""
        ...

    def jobs(self) -> list[Job]:
        """All submitted jobs that the cluster remembers, the latest last."""
        ...

    def log(self, name: str) -> Iterator[str]:
        """What the job has written, from its first line on, and what it writes; "" where nothing came for a while.

        Ends when the job has, or the server went away: only `find` tells which.
        """
        ...

    def written(self, name: str) -> str:
        """What the job has written so far, "" where nothing is known of it."""
        ...

    def stop(self, name: str) -> bool:
        """Ask a job to end; whether it was running."""
        ...

    def forget(self, name: str) -> None:
        """Remove a job that is over from the cluster's list."""
        ...


def check_job_address(address: str) -> None:
    """Raises ValueError for an address that cannot be a job server's; empty and `auto` are left to Ray."""
    if address not in ("", "auto") and "://" not in address:
        raise ValueError(
            f"{address!r} is no address of a job server: expected http://HEAD:8265, which is that of the cluster's "
            "dashboard"
        )


def client_ray() -> str:
    """This machine's version of Ray."""
    return version("ray")


class RayJobs:
    """The job server of a Ray cluster, as its own client sees it."""

    def __init__(self, address: str = "") -> None:
        """Raises LostError where no job server answers, RefusedError, and ValueError for what can be no address."""
        check_job_address(address)
        with _translated(address or "the address that Ray finds"), _alone(address):
            self._client = _client(address)
        self.address: str = self._client._address

    def ray_version(self) -> str:
        """The cluster's version of Ray."""
        return str(self._client._server_ray_version)

    def submit(
        self, name: str, command: str, notes: Mapping[str, str], environment: Mapping[str, str]
    ) -> None:
        """Have a command run on the cluster under this name; raises TakenError."""
        surroundings = {"env_vars": dict(environment)} if environment else None
        with self._asking():
            self._client.submit_job(
                entrypoint=command,
                submission_id=name,
                metadata=dict(notes),
                runtime_env=surroundings,
            )

    def find(self, name: str) -> Job | None:
        """The job of this name, None where the cluster knows none."""
        try:
            with self._asking():
                return _job(self._client.get_job_info(name))
        except _MissingError:
            return None

    def jobs(self) -> list[Job]:
        """All submitted jobs that the cluster remembers, the latest last."""
        with self._asking():
            found = self._client.list_jobs()
        return sorted(map(_job, filter(_is_submitted, found)), key=lambda job: job.begun)

    def log(self, name: str) -> Iterator[str]:
        """What the job writes, from its first line on; "" where nothing came for a while."""
        loop = asyncio.new_event_loop()
        chunks = self._client.tail_job_logs(name)

        async def following() -> str | None:
            return await anext(chunks, None)

        waiting = loop.create_task(following())
        try:
            while True:
                with self._asking():
                    loop.run_until_complete(asyncio.wait({waiting}, timeout=IDLE))
                    chunk = waiting.result() if waiting.done() else ""
                if chunk is None:
                    return
                yield chunk
                if waiting.done():
                    waiting = loop.create_task(following())
        except _MissingError:
            return
        finally:
            _close(loop, waiting)

    def written(self, name: str) -> str:
        """What the job has written so far, "" where nothing is known of it."""
        try:
            with self._asking():
                return str(self._client.get_job_logs(name))
        except _MissingError:
            return ""

    def stop(self, name: str) -> bool:
        """Ask a job to end; whether it was running."""
        try:
            with self._asking():
                return bool(self._client.stop_job(name))
        except _MissingError:
            return False

    def forget(self, name: str) -> None:
        """Remove a job that is over from the cluster's list."""
        try:
            with self._asking():
                self._client.delete_job(name)
        except _MissingError:
            return

    def _asking(self) -> Any:
        return _translated(self.address)


class _MissingError(Exception):
    """The cluster knows no such job."""


def _client(address: str) -> "JobSubmissionClient":
    """Ray's client, with an end to each request and errors that tell what they are.

    It has no option for either (ray.dashboard.modules.dashboard_sdk, 2.60).
    """
    from ray.job_submission import JobSubmissionClient

    for name in ("ray.dashboard.modules.job.sdk", "ray.dashboard.modules.dashboard_sdk"):
        logging.getLogger(name).setLevel(logging.WARNING)  # it tells of every log that it closes

    class Client(JobSubmissionClient):
        def _do_request(self, *words: Any, **more: Any) -> Any:
            return super()._do_request(*words, **{"timeout": SECONDS, **more})

        def _raise_error(self, answer: Any) -> NoReturn:
            _raise(answer.status_code, answer.text)

    return Client(address or None)


def _raise(status: int, text: str) -> NoReturn:
    """The error that an answer stands for. A server passes on what its agent says, with a status of its own."""
    brief = _last_line(text)
    if "already exists" in text and "submission_id" in text:
        raise TakenError(brief)
    if status == 404:
        raise _MissingError(brief)
    if status >= 500:
        raise LostError(f"it answers {status}: {brief}")
    raise ValueError(f"the job server refuses this with {status}: {brief}")


@contextmanager
def _translated(address: str) -> Iterator[None]:
    """Errors of Ray's client and the libraries under it, as ours."""
    import aiohttp
    import requests
    from ray.exceptions import AuthenticationError

    try:
        yield
    except (LostError, TakenError):
        raise
    except AuthenticationError as error:
        raise RefusedError(
            f"the job server at {address} refuses the token ({_first_line(error)}): set RAY_AUTH_MODE=token, and have "
            "the cluster's token in ~/.ray/auth_token"
        ) from error
    except aiohttp.WSServerHandshakeError as error:
        _raise(error.status, error.message)
    except (requests.JSONDecodeError, KeyError) as error:
        raise ValueError(f"what answers at {address} is no job server of Ray") from error
    except (OSError, requests.RequestException, aiohttp.ClientError) as error:
        raise LostError(f"no job server answers at {address}: {_first_line(error)}") from error
    except RuntimeError as error:
        if "WebSocket" in str(error):
            raise LostError(f"the job server at {address} broke off: {error}") from error
        if "returned 404" in str(error):
            raise ValueError(f"what answers at {address} is no job server of Ray") from error
        raise


@contextmanager
def _alone(address: str) -> Iterator[None]:
    """A given address counts, whatever the environment says, which Ray's client would prefer."""
    hidden = {name: os.environ.pop(name) for name in _VARIABLES if address and name in os.environ}
    try:
        yield
    finally:
        os.environ |= hidden


def _close(loop: asyncio.AbstractEventLoop, waiting: "asyncio.Task[str | None]") -> None:
    waiting.cancel()
    loop.run_until_complete(asyncio.gather(waiting, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def _is_submitted(details: "JobDetails") -> bool:
    """Not a driver that somebody started by hand."""
    return details.submission_id is not None and details.type.value == "SUBMISSION"


def _job(details: "JobDetails") -> Job:
    state: State = details.status.value.lower()  # type: ignore[assignment]
    return Job(
        name=details.submission_id or "",
        state=state,
        message=details.message or "",
        status=_status(details.driver_exit_code),
        begun=(details.start_time or 0) / 1000,
        ended=(details.end_time or 0) / 1000,
        command=details.entrypoint,
        notes=details.metadata or {},
    )


def _status(code: int | None) -> int | None:
    """The exit status as a shell gives it, where a signal has ended the process."""
    return 128 - code if code is not None and code < 0 else code


def _first_line(error: object) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _last_line(text: str) -> str:
    """Of a traceback, what was raised."""
    return next(iter(reversed(text.strip().splitlines())), "no reason")
