"""The notice at the end of a command: one JSON object with what was done, to a URL or a command.

A run that has ended well is not to fail over it: whatever goes wrong with a notice is told and nothing else.
"""

import json
import shlex
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from clipneuron.version import __version__

if TYPE_CHECKING:
    # rich and Arrow take half a second to import, which `clipneuron --help` is spared.
    from clipneuron.engine.runner import StageReport
    from clipneuron.store.store import Run

OPTION = "--notify"
_SECONDS = 15.0
"""For which an answer is waited for."""
_COMMAND_SECONDS = 60.0


@dataclass
class Account:
    """What a command has done so far; the runner tells it."""

    command: str
    arguments: Sequence[str] = ()
    began: float = field(default_factory=time.time)
    runs: dict[str, str] = field(default_factory=dict)
    """Names and addresses."""
    stages: list[dict[str, Any]] = field(default_factory=list)

    def stage(self, run: "Run", report: "StageReport") -> None:
        """A stage of a run came to its end."""
        self.runs[run.name] = run.url
        self.stages.append({"run": run.name, **asdict(report), "seconds": round(report.seconds, 3)})

    def notice(self, status: int, error: str = "") -> dict[str, Any]:
        """The notice of a command that ended with this exit status."""
        ended = time.time()
        outcome = {0: "done", 130: "stopped", 143: "stopped"}.get(status, "failed")
        return {
            "clipneuron": __version__,
            "command": self.command.replace("_", "-"),
            "arguments": without_target(self.arguments),
            "outcome": outcome,
            "status": status,
            "error": error,
            "began_at": _written(self.began),
            "ended_at": _written(ended),
            "seconds": round(ended - self.began, 3),
            "host": socket.gethostname(),
            "runs": [{"name": name, "url": url} for name, url in self.runs.items()],
            "stages": self.stages,
        }


def checked_target(text: str) -> str:
    """A target that a notice can go to; raises ValueError before any work is done for nothing."""
    if "://" in text:
        if not text.startswith(("http://", "https://")):
            raise ValueError(f"{text!r} is no http:// or https:// address")
        return text
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no command: {error}") from None
    if not words or shutil.which(words[0]) is None:
        raise ValueError(f"{text!r} is neither an http(s) address nor a command that is found here")
    return text


def without_target(arguments: Sequence[str]) -> list[str]:
    """A command's arguments without where its notice goes: such addresses are often secrets themselves."""
    kept, skip = list[str](), False
    for word in arguments:
        if not skip and word != OPTION and not word.startswith(f"{OPTION}="):
            kept.append(word)
        skip = word == OPTION
    return kept


def send(target: str, notice: dict[str, Any]) -> str:
    """Delivers a notice: "" or what went wrong, without the target."""
    data = json.dumps(notice).encode()
    try:
        if "://" in target:
            _post(target, data)
        else:
            words = shlex.split(target)
            # Not to standard output, which is the result of the command that ended.
            quiet = subprocess.DEVNULL
            subprocess.run(words, input=data, stdout=quiet, check=True, timeout=_COMMAND_SECONDS)
    except subprocess.CalledProcessError as error:
        return f"the command ended with status {error.returncode}"
    except subprocess.TimeoutExpired:
        return f"the command took longer than {_COMMAND_SECONDS:g} s"
    except Exception as error:  # of whatever kind: see above
        return str(error)
    return ""


def _post(url: str, data: bytes) -> None:
    headers = {"Content-Type": "application/json", "User-Agent": f"clipneuron/{__version__}"}
    request = urllib.request.Request(url, data, headers, method="POST")
    with urllib.request.urlopen(request, timeout=_SECONDS):
        pass


def _written(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
