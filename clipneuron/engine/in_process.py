"""The executor of one process: one shard is loaded ahead while another is processed."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from clipneuron.engine.attempts import Ending, commit_output, record_failure
from clipneuron.engine.stage import Advance, Loader, Shard, Stage, Worker
from clipneuron.store.store import Run


class InProcess:
    """Works through shards in order, in this process."""

    def execute(
        self, stage: Stage, run: Run, todo: Sequence[Shard], advance: Advance
    ) -> Iterator[Ending]:
        """One attempt at each shard."""
        loader, worker = stage.loader(run), stage.build(stage.share(run))
        for shard, loaded in _loaded_ahead(loader, todo):
            yield _attempt(stage, run, worker, shard, loaded, advance)


def _attempt(
    stage: Stage, run: Run, worker: Worker, shard: Shard, loaded: "Future[Any]", advance: Advance
) -> Ending:
    started, counted = time.monotonic(), 0

    def count(rows: int) -> None:
        nonlocal counted
        counted += rows
        advance(rows)

    try:
        run.started(stage.name, shard.name)
        output = worker.process(loaded.result(), count)
    except Exception as error:  # a shard's failure is a record, never the end of the others
        ending = record_failure(run, stage.name, shard.name, error)
    else:
        ending = commit_output(run, stage.name, shard.name, output, time.monotonic() - started)
    if ending.problem:
        advance(-counted)
    return ending


def _loaded_ahead(loader: Loader, todo: Sequence[Shard]) -> Iterator[tuple[Shard, "Future[Any]"]]:
    """Each shard with its loaded content, the next one loading while this one is processed."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="load")
    upcoming: deque[tuple[Shard, Future[Any]]] = deque()
    try:
        for shard in todo:
            upcoming.append((shard, pool.submit(loader.load, shard)))
            if len(upcoming) > 1:
                yield upcoming.popleft()
        yield from upcoming
    finally:
        # Whoever breaks off, by an interrupt or over a place in trouble, does not wait for what is under way.
        pool.shutdown(wait=False, cancel_futures=True)
