"""Metrics of a stage on a cluster, through Ray's own: each node offers them to Prometheus, `deploy/grafana` shows them.

The names below are exported with Ray's prefix, `ray_`. Where a cluster collects no metrics, recording them costs
nothing. Source: Ray 2.60, "Application-level metrics" (docs.ray.io, ray-observability/user-guides/add-app-metrics).
"""

from dataclasses import dataclass
from functools import cache

from ray.util.metrics import Counter, Histogram

from clipneuron.engine.attempts import Done, Ending
from clipneuron.engine.stage import Shard, Stage, short_names
from clipneuron.store.store import Run

TAGS = ("run", "stage")
_SECONDS = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0]
"""Upper bounds of the histograms' classes."""

COUNTERS = {
    "clipneuron_pictures": "pictures (or other rows: texts, neurons) of committed shards",
    "clipneuron_cached_pictures": "pictures of committed shards whose decoded pixels were found in the cache",
    "clipneuron_shards": "committed shards",
    "clipneuron_failed_rows": "rows of committed shards that could not be used",
    "clipneuron_retries": "attempts at a shard that failed or met a place in trouble, and will be repeated",
    "clipneuron_quarantined": "shards that failed as often as is allowed",
    "clipneuron_bytes_written": "bytes of committed tables",
    "clipneuron_gpu_seconds": "GPUs times the seconds that processes held them, of committed shards",
    "clipneuron_core_seconds": "cores times the seconds that processes held them, of committed shards",
}
HISTOGRAMS = {
    "clipneuron_decode_wait": "seconds for which a process with a model waited for a decoded shard",
    "clipneuron_model_wait": "seconds for which a decoded shard waited for a process with a model",
    "clipneuron_load": "seconds of reading and decoding a shard",
    "clipneuron_process": "seconds of a shard in its worker",
    "clipneuron_commit": "seconds of a shard's commit, from its first request to the last answer",
}


@dataclass(frozen=True)
class StageMetrics:
    """Records what happens to the shards of one stage in one run."""

    run: str
    stage: str
    attempts: int
    """Failed attempts that put a shard into quarantine."""

    @classmethod
    def of(cls, stage: Stage, run: Run, attempts: int) -> "StageMetrics":
        """Those of a stage, under its short name."""
        return cls(run.name, short_names([stage.name])[stage.name], attempts)

    def ended(self, ending: Ending, shard: Shard) -> None:
        """A shard's attempt came to an end."""
        if ending.done:
            self._committed(ending.done, shard)
        elif ending.problem:
            last = ending.failures >= self.attempts
            self._count("clipneuron_quarantined" if last else "clipneuron_retries", 1)

    def decode_wait(self, seconds: float) -> None:
        """A process had nothing to do for so long, because nothing was decoded."""
        self._observe("clipneuron_decode_wait", seconds)

    def model_wait(self, seconds: float) -> None:
        """A decoded shard lay there for so long, because no process was free."""
        self._observe("clipneuron_model_wait", seconds)

    def _committed(self, done: Done, shard: Shard) -> None:
        self._count("clipneuron_pictures", shard.rows)
        self._count("clipneuron_cached_pictures", done.usage.cached or 0)
        self._count("clipneuron_shards", 1)
        self._count("clipneuron_failed_rows", done.failed_rows)
        self._count("clipneuron_bytes_written", done.size)
        self._count("clipneuron_core_seconds", done.usage.core_seconds)
        self._count("clipneuron_gpu_seconds", done.usage.gpu_seconds)
        self._observe("clipneuron_load", done.usage.load)
        self._observe("clipneuron_process", done.usage.process)
        self._observe("clipneuron_commit", done.commit)

    def _count(self, name: str, amount: float) -> None:
        if amount > 0:  # Ray refuses to count nothing
            counter(name).inc(amount, {"run": self.run, "stage": self.stage})

    def _observe(self, name: str, seconds: float) -> None:
        histogram(name).observe(seconds, {"run": self.run, "stage": self.stage})


@cache
def counter(name: str) -> Counter:
    """The counter of this name, made once per process."""
    return Counter(name, COUNTERS[name], TAGS)


@cache
def histogram(name: str) -> Histogram:
    """The histogram of this name, made once per process."""
    return Histogram(name, HISTOGRAMS[name], _SECONDS, TAGS)
