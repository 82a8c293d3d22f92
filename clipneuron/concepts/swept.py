"""A finished sweep in a store, found without its pictures and without a model: what single pictures are asked with."""

from collections.abc import Sequence
from typing import NamedTuple

from clipneuron.config.concepts import Concepts
from clipneuron.engine.stage import Named, name_of
from clipneuron.engine.status import ALIVE, StageStatus
from clipneuron.reports.quantities import counted
from clipneuron.store.store import Run
from clipneuron.sweep.results import SweepResults


class SweptStages(NamedTuple):
    """The names of a sweep's stages, and of those on some of its pictures where they are complete."""

    layers: tuple[int, ...]
    """The swept layers."""
    means: Named
    directions: Named
    descriptions: Named
    texts: Named
    effects: Named | None
    heads: Named | None


def swept_stages(run: Run, asked: Concepts, command: str) -> SweptStages:
    """The stages of the run's last sweep; `command` is what makes it go on.

    Raises ValueError where the sweep is not finished, and StoreError.
    """
    order, results = run.announced(), run.results(SweepResults)
    if not order or not results:
        raise ValueError(_unfinished(run, "it has not begun to describe neurons", command))
    kinds = dict(zip(reversed(order.kinds), reversed(order.stages), strict=True))
    found = results[0]
    # The sweep comes first in every line of work on top of it.
    names = {kind: kinds.get(kind, kind) for kind in ("calibrate", "texts")}
    names |= {"directions": found.directions, "descriptions": found.descriptions}
    for name in names.values():
        if left := _left(run, name):
            raise ValueError(_unfinished(run, left, command))
    effects = name_of("direct-effects", "", _sample(asked), [Named("plan")])
    heads = name_of(
        "head-texts", "", {"count": asked.head_texts}, [Named(effects), Named(names["texts"])]
    )
    return SweptStages(
        found.layers,
        *(Named(names[kind]) for kind in ("calibrate", "directions", "descriptions", "texts")),
        *(None if _left(run, name) else Named(name) for name in (effects, heads)),
    )


def _sample(asked: Concepts) -> dict[str, object]:
    """The identity of the stage `direct-effects`."""
    return {"images": asked.sample, "depth": asked.depth}


def _left(run: Run, stage: str) -> str:
    """What is left of a stage, "" where it is complete."""
    status = StageStatus.of(run.progress(stage, ALIVE))
    if status.complete:
        return ""
    if status.shards is None:
        return f"{stage} has not begun"
    return f"{stage} has {status.done} of {counted(status.shards, 'shards')}"


def _unfinished(run: Run, why: str, command: str) -> str:
    return f"the sweep of run {run.name} is not finished ({why}): `{command}` goes on with it"


def left_out(asked: Concepts, found: SweptStages) -> Sequence[str]:
    """The methods that are asked for and cannot be had without the stages on some swept pictures."""
    needed = {"splice": found.effects, "textspan": found.heads}
    return [method for method in asked.methods if method in needed and needed[method] is None]
