"""The executor of one process: one shard is loaded ahead while another is processed."""

import os
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from clipneuron.engine.attempts import Ending, Stopwatch, commit_output, record_failure
from clipneuron.engine.stage import Advance, Loader, Shard, Stage, Worker
from clipneuron.store.records import Usage
from clipneuron.store.store import Run
from clipneuron.store.traffic import Lap


class InProcess:
    """Works through shards in order, in this process."""

    def execute(
        self, stage: Stage, run: Run, todo: Sequence[Shard], advance: Advance
    ) -> Iterator[Ending]:
        """One attempt at each shard."""
        asked = Lap()
        loader, worker = stage.loader(run), stage.build(stage.share(run))
        for shard, loaded in _loaded_ahead(loader, todo):
            ending = _attempt(stage, run, worker, shard, loaded, advance, asked)
            if ending.done is None:
                asked.drop()
            yield ending


def _attempt(
    stage: Stage,
    run: Run,
    worker: Worker,
    shard: Shard,
    loaded: "Future[Any]",
    advance: Advance,
    asked: Lap,
) -> Ending:
    """How an attempt ends. The next shard is loaded meanwhile, and what that asks for counts here, not there."""
    spent, counted = Stopwatch.started(), 0

    def count(rows: int) -> None:
        nonlocal counted
        counted += rows
        advance(rows)

    try:
        run.started(stage.name, shard.name)
        content, load = loaded.result()
        output = worker.process(content, count)
    except Exception as error:  # a shard's failure is a record, never the end of the others
        ending = record_failure(run, stage.name, shard.name, error)
    else:
        ending = commit_output(run, stage.name, shard.name, output, _usage(spent, load), asked)
    if ending.problem:
        advance(-counted)
    return ending


def _usage(spent: Stopwatch, load: float) -> Usage:
    """What an attempt took: all cores of the machine are held, since models use all, and a GPU if one is in use.

    The next shard is loaded meanwhile, so its CPU seconds count here, and not a second time there.
    """
    seconds = spent.seconds
    return Usage(
        load=load,
        process=seconds,
        core_seconds=seconds * _cores(),
        gpu_seconds=seconds * _gpus(),
        cpu_seconds=spent.cpu_seconds,
    )


def _cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _gpus() -> int:
    """1 where this process uses a GPU: asked of torch only where a worker has imported it."""
    torch = sys.modules.get("torch")
    return int(torch is not None and torch.cuda.is_initialized())


def _timed(loader: Loader, shard: Shard) -> tuple[Any, float]:
    """What the shard is made of, and the seconds that it took."""
    started = time.monotonic()
    return loader.load(shard), time.monotonic() - started


def _loaded_ahead(loader: Loader, todo: Sequence[Shard]) -> Iterator[tuple[Shard, "Future[Any]"]]:
    """Each shard with its loaded content, the next one loading while this one is processed."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="load")
    upcoming: deque[tuple[Shard, Future[Any]]] = deque()
    try:
        for shard in todo:
            upcoming.append((shard, pool.submit(_timed, loader, shard)))
            if len(upcoming) > 1:
                yield upcoming.popleft()
        yield from upcoming
    finally:
        # Whoever breaks off, by an interrupt or over a place in trouble, does not wait for what is under way.
        pool.shutdown(wait=False, cancel_futures=True)
