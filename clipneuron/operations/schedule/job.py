"""What is scheduled: a command, when it runs, and what becomes of missed times and finished jobs."""

import re
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo, available_timezones

from clipneuron.config.suggestions import suggestion
from clipneuron.operations.schedule.cron import Cron
from clipneuron.operations.schedule.quoting import check_words

HISTORY = 3
"""Finished jobs that are kept where nothing else is asked for."""
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_LONGEST_NAME = 47  # of a RayCronJob, whose jobs get a suffix; a CronJob may have 52


@dataclass(frozen=True, kw_only=True)
class Scheduled:
    """A command and when it runs; raises ValueError for what no scheduler could carry out."""

    cron: Cron
    words: tuple[str, ...]
    """The command without the program: `run --recipe demo ...`."""
    program: tuple[str, ...]
    """How the command is started on this machine."""
    folder: str
    """In which relative paths are meant."""
    name: str
    time_zone: str = "UTC"
    catch_up: bool = False
    """Whether one run makes up for times that were missed."""
    history: int | None = None
    """Finished jobs that are kept; None where that is not asked for."""
    container: str = ""
    """Image of containers, with clipneuron in it."""
    secret: str = ""
    """Kubernetes Secret with credentials of the store, as environment variables."""
    ray_cluster: str = ""
    """RayCluster that a RayCronJob runs on."""

    def __post_init__(self) -> None:
        check_words((*self.program, *self.words, self.folder, self.container))
        if len(self.name) > _LONGEST_NAME or not _NAME.fullmatch(self.name):
            raise ValueError(
                f"{self.name!r} can't be the name of a schedule: expected at most {_LONGEST_NAME} lower-case letters, "
                "digits and hyphens (--job-name)"
            )
        if not (_zone(self.time_zone) or _zone("UTC") is None):
            raise ValueError(
                f"there is no time zone {self.time_zone!r}: expected a name such as UTC or Europe/Berlin"
                + suggestion(self.time_zone, available_timezones())
            )
        for what in (self.secret, self.ray_cluster):
            if what and not _NAME.fullmatch(what):
                raise ValueError(f"{what!r} can't be the name of a Kubernetes object")

    def upcoming(self, count: int) -> list[datetime]:
        """The next times by the clocks of its time zone; none where this machine knows no time zones."""
        zone = _zone(self.time_zone)
        return self.cron.upcoming(datetime.now(zone).replace(tzinfo=None), count) if zone else []

    @property
    def submitted(self) -> tuple[str, ...]:
        """The command without the program; one for a job server's address is submitted there, each time anew."""
        return ("submit", *self.words, "--again") if self.address.startswith("http") else self.words

    @property
    def address(self) -> str:
        """Of the cluster, "" where the command names none."""
        return self.option("--address")

    def option(self, name: str) -> str:
        """The value of one of the command's options, "" where it is not given."""
        for place, word in enumerate(self.words):
            if word.startswith(f"{name}="):
                return word.partition("=")[2]
            if word == name and place + 1 < len(self.words):
                return self.words[place + 1]
        return ""

    def refuse_history(self, scheduler: str, instead: str) -> None:
        """Raises ValueError where a number of kept jobs is asked of a scheduler that keeps none."""
        if self.history is not None:
            raise ValueError(f"{scheduler} keeps no finished jobs: leave out --history; {instead}")

    def refuse_catching_up(self, scheduler: str) -> None:
        """Raises ValueError where a scheduler that forgets missed times is asked to catch up."""
        if self.catch_up:
            raise ValueError(
                f"{scheduler} does not make up for missed times: take --missed skip, or --as systemd or kubernetes, "
                "which can catch up"
            )

    def refuse_relative_store(self, scheduler: str) -> None:
        """Raises ValueError for a store that is a path relative to this machine's folder."""
        store = self.option("--store")
        if not store.startswith(("s3://", "/")):
            raise ValueError(
                f"{scheduler} runs the command elsewhere, where {store!r} means nothing: give --store under s3://, or "
                "as an absolute path that all nodes share"
            )

    def need_container(self, scheduler: str) -> None:
        """Raises ValueError where an image is needed and none is named."""
        if not self.container:
            raise ValueError(
                f"{scheduler} runs containers: name an image with clipneuron by --container, such as one built from "
                "this project's Dockerfile"
            )


def _zone(name: str) -> ZoneInfo | None:
    """None for a name that this machine does not know; slim containers know none at all."""
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        return None
