"""Which metrics of a run Prometheus sees: scrapes the node of a Ray of its own while a stage runs, and after it.

    python benchmarks/scraped.py

The stage's last shard waits until its first ones have been seen. Prints the lines of our metrics at the end; the exit
status is 1 where some that a run without failures records are missing, or say something else than its commits.
"""

import io
import os
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# Before site-packages, in which another project may have installed its own `tests`.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ |= {"RAY_AUTH_MODE": "disabled", "RAY_enable_metrics_collection": "1"}
os.environ["RAY_metrics_report_interval_ms"] = "1000"  # noqa: SIM112 - as Ray spells it

import ray
from rich.console import Console

from clipneuron.config.cluster import ClusterOptions
from clipneuron.engine.cluster.metrics import COUNTERS, HISTOGRAMS
from clipneuron.engine.ray_data import RayData
from clipneuron.engine.runner import Runner
from clipneuron.engine.stage import Shard
from clipneuron.store.store import Run, Store
from tests.faults.light import Light

OPTIONS = ClusterOptions(actors=1, actor_cpus=1)
SHARDS = 6
NOT_RECORDED = {
    *("clipneuron_failed_rows", "clipneuron_retries", "clipneuron_quarantined"),
    *("clipneuron_gpu_seconds", "clipneuron_cached_pictures"),
}
"""By a run on cores, without a cache, in which nothing fails: counters begin with their first count."""
WAIT = 180.0
Samples = dict[str, float]
"""Values by metric and labels, as Prometheus reads them."""


@dataclass(frozen=True)
class Waiting(Light):
    """The last shard is loaded once a file is there."""

    file: str = ""

    def load(self, shard: Shard) -> int:
        """The shard's number."""
        ended = time.monotonic() + WAIT
        while shard.payload == self.count - 1 and not Path(self.file).exists():
            if time.monotonic() > ended:
                raise TimeoutError("nobody saw the metrics of the first shards")
            time.sleep(0.2)
        return super().load(shard)


def main() -> int:
    quiet = Console(file=io.StringIO())
    with tempfile.TemporaryDirectory(prefix="cn-", dir="/tmp") as folder:
        ray.init(
            address="local",
            num_cpus=3,
            resources={"clip": 2.0},
            include_dashboard=False,
            _temp_dir=f"{folder}/ray",
        )
        run = Store(f"{folder}/store").open_run("demo", {"stage": "light"})
        stage = Waiting(SHARDS, file=f"{folder}/seen")
        during = threading.Thread(target=see_and_let_go, args=(stage.file,))
        during.start()
        Runner(RayData(OPTIONS, quiet), console=quiet).run_stage(stage, run)
        during.join()
        found = scraped(lambda samples: total(samples, "clipneuron_shards_total") == SHARDS)
        ray.shutdown()
        problems = [*wrong(found, run)]
    print("\n".join(f"{shown(name)} {value:g}" for name, value in sorted(found.items())))
    print(*problems, sep="\n")
    return 1 if problems else 0


def see_and_let_go(file: str) -> None:
    """Lets the last shard go on once the node tells of others."""
    seen = scraped(lambda samples: (total(samples, "clipneuron_shards_total") or 0) > 0)
    if seen:
        print(f"during the run: {total(seen, 'clipneuron_shards_total'):g} shards of {SHARDS}")
        Path(file).touch()


def wrong(found: Samples, run: Run) -> list[str]:
    """What is missing, or differs from what the run's commits say."""
    commits = run.committed("light").values()
    expected = {
        "clipneuron_shards_total": SHARDS,
        "clipneuron_pictures_total": 3 * SHARDS,
        "clipneuron_bytes_written_total": sum(commit.size for commit in commits),
        **{f"{name}_count": SHARDS for name in HISTOGRAMS if not name.endswith("_wait")},
    }
    there = [f"{name}_total" for name in COUNTERS if name not in NOT_RECORDED]
    there += [f"{name}_{part}" for name in HISTOGRAMS for part in ("sum", "count")]
    problems = [f"missing: ray_{name}" for name in there if total(found, name) is None]
    return problems + [
        f"ray_{name} is {total(found, name)}, expected {value}"
        for name, value in expected.items()
        if total(found, name) not in (value, None)
    ]


def shown(name: str) -> str:
    """A metric with our own labels."""
    metric, _, labels = name.partition("{")
    ours = [
        label for label in labels.rstrip("}").split(",") if label.startswith(("run=", "stage="))
    ]
    return f"{metric}{{{','.join(ours)}}}"


def total(samples: Samples, name: str) -> float | None:
    """The sum of a metric over its labels, None where it is not there."""
    found = [value for key, value in samples.items() if key.startswith(f"ray_{name}{{")]
    return sum(found) if found else None


def scraped(enough: Callable[[Samples], bool]) -> Samples:
    """Our metrics as the node offers them, once they are enough, or the last ones seen."""
    node = ray.nodes()[0]
    url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    samples: Samples = {}
    ended = time.monotonic() + WAIT
    while time.monotonic() < ended:
        time.sleep(1)
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:  # the node's agent is still starting
            continue
        ours = [
            line for line in lines if line.startswith("ray_clipneuron") and "_bucket" not in line
        ]
        samples = {name: float(value) for name, _, value in (line.rpartition(" ") for line in ours)}
        if samples and enough(samples):
            break
    return samples


if __name__ == "__main__":
    sys.exit(main())
