"""A pipeline: stages in their order, and their names."""

import hashlib
from collections.abc import Sequence

from clipneuron.engine.stage import Stage


def mark(*parts: object) -> str:
    """A short digest of what sets a stage apart from others of its kind."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:8]


def up_to(last: str | None, stages: Sequence[Stage]) -> Sequence[Stage]:
    """The stages up to the last whose name begins so, all if none is named."""
    if last is None:
        return stages
    places = [n for n, stage in enumerate(stages) if stage.name.startswith(last)]
    return stages[: max(places, default=-1) + 1]
