"""What Ray and the store add to a plain loop over the same shards, and what each stage costs before it works.

    python benchmarks/engines.py                     # 2,000 JPEGs, ViT-B-32's shape, layers 8-10
    python benchmarks/engines.py --pictures 400 --shard 100
    python benchmarks/engines.py --ways              # only the table of stages

The sweep (stage `effects`) of one collection, each time in a process of its own: a plain loop that decodes one shard
ahead and throws the tables away; this process with the store; Ray with the store, with a model actor of two cores, two
of one core and one of one core; and a finished run once more. Both rates are taken between the end of the first shard
and the end of the last one, which leaves out what is paid once (starting Ray, loading the model in actors); "whole" is
everything from start to exit. Core-seconds are those of all processes of the way, Ray's own among them: where all
cores are busy, they are what throughput is lost to, and neighbours on the machine disturb them less than they do
pictures/s.

The second table takes every stage of a fresh run by itself, in this process and through Ray: "start" is the time until
work on the stage's first shard begins (processes, libraries, the model, the shard's reading), "work" the rest. Before
them stands what is paid once for all stages: libraries and model in the driver, and the cluster.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import open_clip
import psutil
import torch
from machine import describe
from rich.console import Console
from shards import picture

from clipneuron.config.cluster import ClusterOptions
from clipneuron.config.recipe import Recipe
from clipneuron.engine.cluster.connection import connected
from clipneuron.engine.in_process import InProcess
from clipneuron.engine.ray_data import RayData
from clipneuron.engine.runner import Runner
from clipneuron.engine.stage import Shard, Stage
from clipneuron.models.clip.model import load_clip
from clipneuron.readers.sweep import Planned
from clipneuron.store.store import Run, Store
from clipneuron.sweep.pipeline import Sweep

DISTINCT = 50
ENGINES = ("in-process", "ray")
CREWS = {"Ray, 1 actor": (1, 2), "Ray, 2 actors": (2, 1), "Ray, 1 actor of 1 core": (1, 1)}
"""Actors, and cores of each."""
WAYS = ("plain loop", "in-process + store", *CREWS, "Ray, finished run")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--shard", type=int, default=500, help="pictures per commit")
    parser.add_argument("--layers", type=int, nargs="+", default=[8, 9, 10])
    parser.add_argument("--ways", choices=WAYS, nargs="*", default=WAYS)
    parser.add_argument("--way", choices=[*WAYS, *ENGINES], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        answer = by_stage(options) if options.way in ENGINES else measure(options)
        print(json.dumps(answer))
        return
    with tempfile.TemporaryDirectory() as folder:
        options.folder = Path(folder)
        write_pictures(options.folder / "pictures", options.pictures)
        print(describe())
        print(
            f"ViT-B-32, layers {options.layers}, {options.pictures} JPEGs in shards of {options.shard}"
        )
        if options.ways:
            report(options)
        report_stages(options)


def report(options: argparse.Namespace) -> None:
    """The table, way after way."""
    print(f"{'way':20} {'pictures/s':>11} {'core-ms/picture':>16} {'of the loop':>12} {'whole':>8}")
    sweep(options).run(quiet(InProcess()), until="calibrate")
    loop = 0.0
    for way in options.ways:
        start = time.monotonic()
        rate, cost = answer_of(way, options)
        loop = loop or cost
        cells = f"{rate:11.1f} {1000 * cost:16.1f} {cost / loop:12.0%}" if rate else f"{'-':>41}"
        print(f"{way:20} {cells} {time.monotonic() - start:6.1f} s", flush=True)


def report_stages(options: argparse.Namespace) -> None:
    """The table of stages, engine after engine."""
    print(f"\n{'engine':12} {'stage':40} {'start':>8} {'work':>8} {'core-s':>8}")
    for engine in ENGINES:
        for name, start, work, cost in answer_of(engine, options):
            print(f"{engine:12} {name:40} {start:6.1f} s {work:6.1f} s {cost:8.1f}", flush=True)


def answers(ways: Sequence[str], pictures: int, shard: int) -> dict[str, tuple[float, float]]:
    """Pictures per second and core-seconds per picture of some ways, layers 8-10, on a collection of their own."""
    with tempfile.TemporaryDirectory() as folder:
        options = argparse.Namespace(shard=shard, layers=[8, 9, 10], folder=Path(folder))
        write_pictures(options.folder / "pictures", pictures)
        sweep(options).run(quiet(InProcess()), until="calibrate")
        return {way: answer_of(way, options) for way in ways}


def answer_of(way: str, options: argparse.Namespace) -> Any:
    """What a process of its own measures."""
    command = [sys.executable, __file__, "--way", way, "--folder", str(options.folder)]
    command += ["--shard", str(options.shard), "--layers", *map(str, options.layers)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(answer.splitlines()[-1])


def write_pictures(folder: Path, count: int) -> None:
    """JPEGs of a photograph's size; the files repeat, their decoding does not."""
    folder.mkdir(parents=True)
    distinct = [picture(seed) for seed in range(min(count, DISTINCT))]
    for number in range(count):
        (folder / f"{number:06d}.jpg").write_bytes(distinct[number % len(distinct)])


def sweep(options: argparse.Namespace, store: str = "store") -> Sweep:
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
    return Sweep.of(recipe, Store(options.folder / store), clip)


def quiet(executor: object) -> Runner:
    """A runner that prints to standard error."""
    return Runner(executor, console=Console(file=sys.stderr))  # type: ignore[arg-type]


def measure(options: argparse.Namespace) -> tuple[float, float]:
    """Pictures per second and core-seconds per picture of one way, in this process and those it starts."""
    way: str = options.way
    swept = sweep(options)
    run = swept.open()
    stage = swept.stages(Planned.of(run)).effects
    shards = stage.shards(run)
    if way == "Ray, finished run":
        with connected(ClusterOptions(), ("clip",)):
            executor = RayData(ClusterOptions(), Console(file=sys.stderr))
            assert quiet(executor).run_stage(stage, run).done_now == 0
        return 0.0, 0.0
    forget(run)
    if way == "plain loop":
        return plain(stage, run)
    if way == "in-process + store":
        return watched(run, shards, lambda: quiet(InProcess()).run_stage(stage, run))
    actors, cores = CREWS[way]
    chosen = ClusterOptions(actors=actors, actor_cpus=cores)
    with connected(chosen, ("clip",)):
        executor = RayData(chosen, Console(file=sys.stderr))
        return watched(run, shards, lambda: quiet(executor).run_stage(stage, run))


def by_stage(options: argparse.Namespace) -> list[tuple[str, float, float, float]]:
    """Name, seconds until the first shard's work, seconds of work, core-seconds: of the driver, then of each stage."""
    begun = psutil.Process().create_time()
    swept = sweep(options, f"store-{options.way}")
    run, planned, _ = swept.planned(quiet(InProcess()))
    todo = [stage for stage in swept.stages(planned).all if stage.kind != "plan"]
    if options.way == "in-process":
        return [("(driver)", time.time() - begun, 0.0, spent()), *stages(todo, run, InProcess())]
    with connected(ClusterOptions(), ("clip",)):
        once = ("(driver and cluster)", time.time() - begun, 0.0, spent())
        executor = RayData(ClusterOptions(), Console(file=sys.stderr))
        return [once, *stages(todo, run, executor)]


def stages(
    todo: Sequence[Stage], run: Run, executor: object
) -> Iterator[tuple[str, float, float, float]]:
    """The same of each stage as it is done."""
    for stage in todo:
        start, cost = time.time(), spent()
        quiet(executor).run_stage(stage, run)
        whole, until = time.time() - start, max(0.0, first_work(run, stage.name) - start)
        yield stage.name, until, whole - until, spent() - cost


def first_work(run: Run, stage: str) -> float:
    """When work on a stage's first shard began, in seconds since 1970."""
    return min(
        datetime.fromisoformat(commit.committed_at).timestamp() - commit.seconds
        for commit in run.committed(stage).values()
    )


def plain(stage: Stage, run: Run) -> tuple[float, float]:
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
            ends.append((time.time(), spent()))
    return between(ends[0], ends[-1], sum(shard.rows for shard in shards[1:]))


def watched(run: Run, shards: Sequence[Shard], work: Callable[[], object]) -> tuple[float, float]:
    """The work's figures between the first commit that is seen and the end."""
    seen: list[tuple[float, float, int]] = []

    def look() -> None:
        while not seen:
            done = run.done("effects")
            if done:
                rows = sum(shard.rows for shard in shards if shard.name not in done)
                seen.append((time.time(), spent(), rows))
            time.sleep(0.2)

    threading.Thread(target=look, daemon=True).start()
    work()
    first, cost, rows = seen[0]
    return between((first, cost), (time.time(), spent()), rows)


def between(
    first: tuple[float, float], last: tuple[float, float], rows: int
) -> tuple[float, float]:
    """Pictures per second, and core-seconds per picture."""
    return rows / (last[0] - first[0]), (last[1] - first[1]) / rows


def spent() -> float:
    """Core-seconds of this process and of all that it started."""
    here = psutil.Process()
    return sum(map(core_seconds, [here, *here.children(recursive=True)]))


def core_seconds(process: psutil.Process) -> float:
    """Of a process and of its children that have ended; 0 if it is gone."""
    try:
        return float(sum(process.cpu_times()[:4]))
    except psutil.Error:
        return 0.0


def forget(run: Run) -> None:
    """Take the sweep's commits away, so that it is done again."""
    for prefix in ("commits/effects/", "data/effects/", "attempts/effects/", "manifest/effects"):
        for key in list(run.objects.list(prefix)):
            run.objects.delete(key)


if __name__ == "__main__":
    main()
