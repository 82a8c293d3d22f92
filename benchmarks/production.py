"""The cost of adversarial pictures: generators alone, whole attacks with their memory, and the paper's 6,000.

    python benchmarks/production.py                      # generators, 1,080 and 10,800 pictures, projection
    python benchmarks/production.py --only projection    # nothing is measured

The demo's captioner and painter are those of a demo attack. The LLaMA and the DeepFloyd IF are the tests' tiny ones:
real classes with hardly any weights, so that the measurement shows the cost of our code and of the libraries around the
networks. Attacks run on one sweep of the demo world, each in a process of its own with the in-process engine; memory is
the kernel's figure of that process's peak resident memory.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from machine import describe
from rich.console import Console
from scale import duration, row, table

from clipneuron.attack.inputs import pairs_of
from clipneuron.attack.pipeline import AttackLine
from clipneuron.attack.prompts import REQUEST
from clipneuron.config.attack import Attack
from clipneuron.config.named import named_recipe
from clipneuron.config.recipe import Recipe
from clipneuron.demo.collection import write_collection
from clipneuron.demo.grammar import GrammarCaptioner
from clipneuron.demo.painter import ScenePainter
from clipneuron.engine.runner import Runner
from clipneuron.models.language.captioner import Captioner, Prompt, Sampling
from clipneuron.models.language.lists import parsed
from clipneuron.models.language.transformers import TransformersCaptioner
from clipneuron.models.painting.diffusion import DiffusersPainter
from clipneuron.models.painting.painter import Order, Painter
from clipneuron.models.painting.pipelines import PipelineSource
from clipneuron.readers.sweep import Planned
from clipneuron.store.store import Store

WORDS = ("cars", "a road", "traffic lights", "houses", "two people", "a street", "a bus", "trees")
GROUP = 8, 10
"""Prompts, and pictures, that the stages pass to their generators at once."""
SWEPT, METHODS = 200, ("second-order", "random", "similar")
REPEATS, CHOSEN, EACH = 3, 10, 12
"""Of each pair: 3 methods x 3 repeats x 10 captions x 12 pictures are 1,080."""
STAGES = ("words", "captions", "pictures", "verdicts", "screening")

PROMPTS, PAINTED = 5 * 4 * 3, 5 * 4 * 3 * 100
"""The paper's Table 3: pairs x methods x repeats, and a hundred pictures of each."""
LONGEST = Sampling().max_new_tokens
STEPS = 100, 50
"""Steps of stages I and II: the defaults of diffusers' IFPipeline and IFSuperResolutionPipeline."""


@dataclass(frozen=True)
class Cited:
    """A published rate."""

    what: str
    rate: tuple[float, ...]
    """Tokens per second over all answers; or steps per second of stage I, and of stage II."""
    source: str


# LLaMA-3.1-8B has LLaMA-3-8B's layers, widths and vocabulary: a token costs the same.
LLAMA = (
    Cited(
        "A100 40 GB, vLLM 0.23, bfloat16, LLaMA-3.1-8B, one prompt at a time",
        (75.0,),
        "johnmusgrave.com/p/vllm-throughput-latency-sweep-on: about 75 tokens/s",
    ),
    Cited(
        "the same, 8 prompts at a time (as the captions stage asks)",
        (75.0 * 6.6,),
        "as above: 6.6 times as much; its prompts had 1,024 tokens, its answers 128",
    ),
    Cited(
        "A100 80 GB SXM, TensorRT-LLM, LLaMA-3-8B, large batch",
        (5500.0,),
        "github.com/NVIDIA/TensorRT-LLM/issues/2648, a user's figure; 35 tokens in, 250 out",
    ),
    Cited(
        "H100 SXM 80 GB, TensorRT-LLM, FP8, LLaMA-3.1-8B, full load",
        (17_660.0,),
        "NVIDIA/TensorRT-LLM 00f3768, docs/source/performance/perf-overview.md; 500 tokens in, 2,000 out",
    ),
)
# No published rate of IF-I-XL with IF-II-L on such a GPU was found. This one, for the family's smaller networks, is
# printed next to the formula for comparison, not as a substitute.
SMALLER = Cited(
    "A100, IF-I-M and IF-II-M (not the paper's XL and L), one picture at a time",
    (20.21, 13.84),
    "huggingface/diffusers 2c529b7, docs/source/en/optimization/torch2.0.md: PyTorch 2.0, not compiled, 2 text tokens",
)
# The source does not name the network but gives its size as four times all of Stable Diffusion: only IF-I-XL fits.
FIRST_STAGE = Cited(
    "RTX 3090, stage I alone (IF-I-XL by its size), one picture at a time",
    (6.3,),
    "a user's comment of 2023-05-04 in github.com/deep-floyd/IF, issue 81",
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", choices=("generators", "attacks", "projection"))
    parser.add_argument(
        "--pairs", type=int, nargs="+", default=[1, 10], help="of the attacks (10 at most)"
    )
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="each generator is measured for at least so long"
    )
    parser.add_argument("--produce", metavar="STORE", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.produce:
        print(json.dumps(produce(Path(arguments.produce), arguments.pairs[0])))
        return
    print(describe())
    if arguments.only in (None, "generators"):
        generators(arguments.seconds)
    if arguments.only in (None, "attacks"):
        attacks(arguments.pairs)
    if arguments.only in (None, "projection"):
        projection()


def generators(seconds: float) -> None:
    """Captions and pictures per second of each generator, after a first call that loads its model."""
    with tempfile.TemporaryDirectory() as folder:
        llama, one, two = (Path(folder) / name for name in ("llama", "one", "two"))
        lessons = _tiny_models(llama, one, two)
        asked = [REQUEST.prompt("horse", "automobile", WORDS, seed) for seed in range(GROUP[0])]
        taught = [Prompt(lessons[at % len(lessons)], seed=at) for at in range(GROUP[0])]
        few = Sampling(max_new_tokens=64)
        table("Captions per actor", ("captioner", "answers/s", "captions/s", "first call, s"))
        _caption("demo grammar, Table 6's request", GrammarCaptioner(), asked, seconds)
        tiny = TransformersCaptioner(llama, sampling=few, batch_size=GROUP[0], device="cpu")
        _caption("tiny LLaMA, trained to answer in 2-3 lines", tiny, taught, seconds)
        captions = parsed(GrammarCaptioner().answers(asked[:1])[0])
        table("Pictures per actor", ("painter", "pictures/s", "first call, s"))
        _paint("demo scenes, 64 pixels", ScenePainter(), captions, seconds)
        stages = (PipelineSource(model=place) for place in (one, two))
        cascade = DiffusersPainter(*stages, batch_size=GROUP[1], device="cpu")
        steps = f"{STEPS[0]} + {STEPS[1]} steps"
        _paint(f"tiny IF, 16 then 32 pixels, {steps}", cascade, captions, seconds)


def _tiny_models(llama: Path, one: Path, two: Path) -> list[str]:
    """Save the tests' models; the prompts that the LLaMA was trained on."""
    # Before site-packages, in which another project has installed its own `tests`.
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from tests.samples.language_models import LESSONS, save_tiny_llama
    from tests.samples.painters import save_tiny_deepfloyd

    save_tiny_llama(llama)
    save_tiny_deepfloyd(one, two)
    return list(LESSONS)


def _caption(name: str, captioner: Captioner, prompts: Sequence[Prompt], seconds: float) -> None:
    """Time a captioner; the list in every answer is parsed, as in the stage."""
    found: list[str] = []

    def work(_: int) -> None:
        found.extend(item for answer in captioner.answers(prompts) for item in parsed(answer))

    first = _timed(lambda: work(0))
    found.clear()
    calls, took = _repeated(work, seconds)
    rates = (len(prompts) * calls / took, len(found) / took)
    row(name, *(f"{rate:,.0f}" for rate in rates), f"{first:.2f}")


def _paint(name: str, painter: Painter, captions: Sequence[str], seconds: float) -> None:
    """Time a painter on ten pictures per caption, as the stage orders them; a failed picture ends the program."""

    def work(call: int) -> None:
        caption = captions[call % len(captions)]
        seeds = range(call * GROUP[1], (call + 1) * GROUP[1])
        for painted in painter.paint([Order(caption, seed) for seed in seeds]):
            if painted.pixels is None:
                raise RuntimeError(f"{name} painted nothing of {caption!r}: {painted.reason}")

    first = _timed(lambda: work(0))
    calls, took = _repeated(lambda call: work(call + 1), seconds)
    row(name, f"{GROUP[1] * calls / took:,.1f}", f"{first:.2f}")


def _repeated(work: Callable[[int], None], seconds: float) -> tuple[int, float]:
    """The number of calls, and the seconds that they took together."""
    start, calls = time.perf_counter(), 0
    while (took := time.perf_counter() - start) < seconds:
        work(calls)
        calls += 1
    return calls, took


def _timed(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def attacks(sizes: Sequence[int]) -> None:
    """Seconds of each stage, and memory, of attacks on so many pairs."""
    heads = ("pictures", *(f"{name}, s" for name in STAGES), "pictures/s", "sweep", *STAGES)
    table("Attacks, and peak resident MiB up to the end of each step", heads)
    with tempfile.TemporaryDirectory() as folder:
        swept = Path(folder) / "swept"
        write_collection(swept / "pictures" / f"demo-0-{SWEPT}", SWEPT, 0, biased=True)
        _line(swept, 1).sweep.run(_runner())
        for pairs in sizes:
            store = shutil.copytree(swept, Path(folder) / f"pairs-{pairs}")
            command = [sys.executable, __file__, "--produce", str(store), "--pairs", str(pairs)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            _show(json.loads(done.stdout))
            shutil.rmtree(store)


def produce(store: Path, pairs: int) -> dict[str, list[float]]:
    """In a process of its own: pictures, seconds of each stage, and MiB after the sweep and after each of them."""
    line, runner = _line(store, pairs), _runner()
    run, _ = line.sweep.run(runner)
    stages = line.stages(Planned.of(run))
    runner.run_stage(stages.classifier, run)
    seconds, peaks = [], [_peak()]
    for kind in STAGES:
        (stage,) = (stage for stage in stages.all[-len(STAGES) :] if stage.kind == kind)
        seconds.append(runner.run_stage(stage, run).seconds)
        peaks.append(_peak())
    pictures = run.read(stages.pictures.name, "pictures", columns=["status"])
    painted = sum(status == "ok" for status in pictures["status"].to_pylist())
    return {"pictures": [painted], "seconds": seconds, "peaks": peaks}


def _line(store: Path, pairs: int) -> AttackLine:
    wanted = pairs_of(Attack(pairs=("all",)), 0)[:pairs]
    attack = {
        "pairs": tuple(map(":".join, wanted)),
        "methods": METHODS,
        "repeats": REPEATS,
        "chosen": CHOSEN,
        "each": EACH,
    }
    recipe: Recipe = named_recipe("demo", {"limit": SWEPT, "attack": attack})
    return AttackLine.of(recipe, Store(str(store)))


def _runner() -> Runner:
    return Runner(console=Console(file=sys.stderr, quiet=True))


def _peak() -> float:
    """Peak resident MiB of this program alone; getrusage would start from the parent's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    [peak] = [line for line in lines if line.startswith("VmHWM:")]
    return int(peak.split()[1]) / 1024


def _show(found: dict[str, list[float]]) -> None:
    [pictures], seconds = found["pictures"], found["seconds"]
    rate = f"{pictures / sum(seconds):,.0f}"
    times = (f"{value:,.1f}" for value in seconds)
    row(f"{pictures:,.0f}", *times, rate, *(f"{peak:,.0f}" for peak in found["peaks"]))


def projection() -> None:
    """The paper's Table 3 with its own models on one GPU: counted work over cited rates."""
    title = f"Projected, not measured: {PROMPTS} requests of 50 captions, at most {LONGEST:,} tokens each"
    table(title, ("one GPU", "cited tokens/s", "one round at most", "source"))
    for cited in LLAMA:
        [rate] = cited.rate
        time_ = duration(PROMPTS * LONGEST / rate / 3600)
        row(cited.what, f"{rate:,.0f}", time_, cited.source)
    table(
        f"Projected, not measured: {PAINTED:,} pictures of {STEPS[0]} + {STEPS[1]} steps",
        ("one GPU", "cited steps/s, stages I, II", "all pictures", "source"),
    )
    formula = f"{PAINTED:,} x ({STEPS[0]} / r1 + {STEPS[1]} / r2) seconds"
    missing = "no citable rate was found: missing are r1 and r2, steps per second and picture of IF-I-XL and IF-II-L"
    row("A100 or H100, IF-I-XL and IF-II-L", "r1, r2", formula, missing)
    [rate] = FIRST_STAGE.rate
    alone = duration(PAINTED * STEPS[0] / rate / 3600)
    row(FIRST_STAGE.what, f"{rate:.1f}", f"{alone} without stage II", FIRST_STAGE.source)
    spent = sum(steps / rate for steps, rate in zip(STEPS, SMALLER.rate, strict=True))
    rates = ", ".join(f"{rate:.2f}" for rate in SMALLER.rate)
    row(SMALLER.what, rates, duration(PAINTED * spent / 3600), SMALLER.source)


if __name__ == "__main__":
    main()
