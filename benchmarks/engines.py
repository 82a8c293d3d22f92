"""What Ray and the store add to a plain loop over the same shards, and what a second model actor brings.

    python benchmarks/engines.py                     # 2,000 JPEGs, ViT-B-32's shape, layers 8-10
    python benchmarks/engines.py --pictures 400 --shard 100

The sweep (stage `effects`) of one collection, each time in a process of its own: a plain loop that decodes one shard
ahead and throws the tables away; this process with the store; Ray with the store, with one and with two model actors;
and a finished run once more. "pictures/s" is taken between the end of the first shard and the end of the last one,
which leaves out what is paid once (starting Ray, loading the model in actors); "whole" is everything from start to
exit. Processes run one after another on all cores, so other work on the machine disturbs the ratios.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import open_clip
import torch
from machine import describe
from rich.console import Console
from shards import picture

from clipneuron.engine.cluster import ClusterOptions, connected
from clipneuron.engine.in_process import InProcess
from clipneuron.engine.ray_data import RayData
from clipneuron.engine.runner import Runner
from clipneuron.models.clip import load_clip
from clipneuron.recipes import Recipe
from clipneuron.stage import Shard, Stage
from clipneuron.storage.store import Run, Store
from clipneuron.sweep import Sweep

DISTINCT = 50
WAYS = ("plain loop", "in-process + store", "Ray, 1 actor", "Ray, 2 actors", "Ray, finished run")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--shard", type=int, default=250, help="pictures per commit")
    parser.add_argument("--layers", type=int, nargs="+", default=[8, 9, 10])
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(measure(options)))
        return
    with tempfile.TemporaryDirectory() as folder:
        options.folder = Path(folder)
        write_pictures(options.folder / "pictures", options.pictures)
        report(options)


def report(options: argparse.Namespace) -> None:
    """The table, way after way."""
    print(describe())
    print(
        f"ViT-B-32, layers {options.layers}, {options.pictures} JPEGs in shards of {options.shard}"
    )
    print(f"{'way':20} {'pictures/s':>11} {'of the loop':>12} {'whole':>8}")
    sweep(options).run(quiet(InProcess()), until="calibrate")
    loop = 0.0
    for way in WAYS:
        command = [sys.executable, __file__, "--way", way, "--folder", str(options.folder)]
        command += ["--shard", str(options.shard), "--layers", *map(str, options.layers)]
        start = time.monotonic()
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        rate, whole = json.loads(answer.splitlines()[-1]), time.monotonic() - start
        loop = loop or rate
        cells = f"{rate:11.1f} {rate / loop:12.0%}" if rate else f"{'-':>11} {'-':>12}"
        print(f"{way:20} {cells} {whole:6.1f} s", flush=True)


def write_pictures(folder: Path, count: int) -> None:
    """JPEGs of a photograph's size; the files repeat, their decoding does not."""
    folder.mkdir(parents=True)
    distinct = [picture(seed) for seed in range(min(count, DISTINCT))]
    for number in range(count):
        (folder / f"{number:06d}.jpg").write_bytes(distinct[number % len(distinct)])


def sweep(options: argparse.Namespace) -> Sweep:
    """The same sweep for all ways: the model's weights come from one seed."""
    torch.manual_seed(0)
    clip = load_clip(open_clip.create_model("ViT-B-32", pretrained=None))
    recipe = Recipe(
        name="engines",
        model="random",
        images=str(options.folder / "pictures"),
        layers=tuple(options.layers),
        shard_size=options.shard,
        pool="words-100",
    )
    return Sweep.of(recipe, Store(options.folder / "store"), clip)


def quiet(executor: object) -> Runner:
    """A runner that prints to standard error."""
    return Runner(executor, console=Console(file=sys.stderr))  # type: ignore[arg-type]


def measure(options: argparse.Namespace) -> float:
    """Pictures per second of one way, in this process."""
    way: str = options.way
    swept = sweep(options)
    run = swept.open()
    stage = next(stage for stage in swept.stages(run) if stage.name == "effects")
    if way == "plain loop":
        return plain(stage, run)
    if way == "Ray, finished run":
        with connected(ClusterOptions(), ("clip",)):
            report = quiet(RayData(ClusterOptions(), Console(file=sys.stderr))).run_stage(
                stage, run
            )
        assert report.done_now == 0
        return 0.0
    forget(run)
    if way == "in-process + store":
        quiet(InProcess()).run_stage(stage, run)
        return committed(run, stage)
    actors = 2 if way.endswith("2 actors") else 1
    chosen = ClusterOptions(actors=actors, actor_cpus=2 / actors)
    with connected(chosen, ("clip",)):
        quiet(RayData(chosen, Console(file=sys.stderr))).run_stage(stage, run)
    return committed(run, stage)


def committed(run: Run, stage: Stage) -> float:
    """Pictures per second by the times of the commits."""
    commits = run.committed(stage.name).values()
    ends = [datetime.fromisoformat(commit.committed_at).timestamp() for commit in commits]
    return between(ends, stage.shards(run))


def plain(stage: Stage, run: Run) -> float:
    """Decode one shard ahead, process, throw away."""
    loader, worker = stage.loader(run), stage.build(stage.share(run))
    shards, ends = list(stage.shards(run)), []
    with ThreadPoolExecutor(1) as pool:
        upcoming = pool.submit(loader.load, shards[0])
        for place in range(len(shards)):
            loaded = upcoming.result()
            if place + 1 < len(shards):
                upcoming = pool.submit(loader.load, shards[place + 1])
            worker.process(loaded, lambda rows: None)
            ends.append(time.time())
    return between(ends, shards)


def between(ends: list[float], shards: Sequence[Shard]) -> float:
    """Pictures per second from the first end to the last."""
    rows = sum(shard.rows for shard in shards) * (len(shards) - 1) / len(shards)
    return rows / (max(ends) - min(ends))


def forget(run: Run) -> None:
    """Take the sweep's commits away, so that it is done again."""
    for prefix in ("commits/effects/", "data/effects/", "attempts/effects/", "manifest/effects"):
        for key in list(run.objects.list(prefix)):
            run.objects.delete(key)


if __name__ == "__main__":
    main()
