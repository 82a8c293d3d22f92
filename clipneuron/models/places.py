"""Where models are had from: services, the Hugging Face hub and folders, looked for before any work.

Trouble there says nothing about the work that waits for it: it is a ConnectionError, which the engine holds against no
shard. Nothing here needs torch.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Generic, Protocol, TypeVar, runtime_checkable

Thing = TypeVar("Thing")

SECONDS = 4.0
"""How long a service or hub may take to show that it is there."""


class UnavailableError(ConnectionError):
    """A model cannot be had from its place now: that is down, refuses, or has no such model."""


@runtime_checkable
class Placed(Protocol):
    """A maker that is had from a place."""

    def look(self) -> None:
        """Raises UnavailableError, in seconds, where it cannot be had; loads nothing."""
        ...


@dataclass(frozen=True)
class Given(Generic[Thing]):
    """A loader of what is small until it is first asked."""

    thing: Thing

    def __call__(self) -> Thing:
        """The thing."""
        return self.thing


def check_installed(libraries: Sequence[str], what: str) -> None:
    """Raises UnavailableError where a library is missing that `what` needs."""
    missing = [name for name in libraries if find_spec(name) is None]
    if missing:
        raise UnavailableError(
            f"a {what} needs {' and '.join(missing)}: pip install 'clipneuron[generation]'"
        )


def look_for(model: str | os.PathLike[str], revision: str = "", *, what: str, field: str) -> None:
    """Raises UnavailableError unless a model is in its folder, in the hub's cache here, or on the hub.

    `what` is it called in the message, and `field` is the option that names it.
    """
    name = os.fspath(model)
    if Path(name).exists() or _is_cached(name, revision):
        return
    if is_path(name):
        close = _neighbours(Path(name))
        raise UnavailableError(
            f"there is no folder {name!r} with a {what}{close}: check the path in `{field}`"
        )
    _ask_the_hub(name, revision, what, field)


def is_path(name: str) -> bool:
    """Whether a name can only be that of a folder or file; "a/b" may be one of the hub's too, or of an architecture."""
    return (
        name.startswith(("/", ".", "~")) or name.count("/") > 1 or os.sep in name.replace("/", "")
    )


def _neighbours(path: Path) -> str:
    """What lies beside a path that is not there and is called much like it."""
    names = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
    close = get_close_matches(path.name, names, n=1)
    return f" (beside it there is {close[0]!r})" if close else ""


def _is_cached(name: str, revision: str) -> bool:
    """Whether the model at a revision, or any snapshot of it without one, is on this machine."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE, f"models--{name.replace('/', '--')}")
    snapshots = folder / "snapshots"
    if revision:
        return (snapshots / revision).is_dir() or (folder / "refs" / revision).is_file()
    return snapshots.is_dir() and any(snapshots.iterdir())


def _ask_the_hub(name: str, revision: str, what: str, field: str) -> None:
    """Raises UnavailableError where the hub does not answer in time, or has no such model for us."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    named = f"the {what} {name!r}"
    place = f"the Hugging Face hub ({constants.ENDPOINT})"
    if constants.HF_HUB_OFFLINE:
        raise UnavailableError(
            f"{named} is not on this machine, and HF_HUB_OFFLINE forbids to ask {place}: fetch it first, or give "
            f"its folder in `{field}`"
        )
    try:
        HfApi().model_info(name, revision=revision or None, timeout=SECONDS)
    except GatedRepoError as error:
        raise UnavailableError(
            f"{named} is not open to everybody: accept its licence on {place}, and log in (`hf auth login`)"
        ) from error
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError) as error:
        raise UnavailableError(
            f"{place} has no model {name!r}{revision and ' at ' + revision} that you may see: check `{field}`, give a "
            "folder, or log in (`hf auth login`)"
        ) from error
    except Exception as error:  # whatever its client's layers raise when nobody answers
        raise UnavailableError(
            f"{named} is not on this machine, and {place} does not answer ({_brief(error)}): check the network, or "
            f"give a folder in `{field}`"
        ) from error


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
