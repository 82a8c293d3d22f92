"""The benchmark that people with a GPU run: all of it runs, on a GPU too, and it needs neither Ray nor a store."""

import ast
import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from math import inf
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import Tensor

from clipneuron.lens.ablations import representations
from clipneuron.lens.trace import Trace
from clipneuron.models.clip.capture import capture
from tests.samples.simulated_gpu import simulated_gpu

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
FILES = ("gpu", "gpu_bench", "gpu_passes", "effects", "machine", "timing")
LIBRARIES = {"torch", "open_clip"}
OWN = ("clipneuron.lens.", "clipneuron.models.")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The benchmark as a module."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("gpu")


@pytest.fixture
def passes(gpu) -> ModuleType:
    return importlib.import_module("gpu_passes")


def imported(name: str) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse((BENCHMARKS / f"{name}.py").read_text())):
        if isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
        elif isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
    return found


@pytest.mark.parametrize("name", FILES)
def test_the_benchmark_imports_the_lens_and_models_alone(name):
    known = {*FILES, *LIBRARIES, *sys.stdlib_module_names}
    others = {each for each in imported(name) if each.partition(".")[0] not in known}
    assert [each for each in others if each != "clipneuron" and not each.startswith(OWN)] == []


def test_a_dry_run_prints_every_row(gpu, passes, capsys, monkeypatch):
    # the compiler cannot look through the checks of signatures that tests have: tests/models/clip/test_compiled.py
    monkeypatch.setattr(passes, "CompiledCapture", traced)
    assert gpu.main(["--dry", "--types", "bfloat16"]) == 0
    said = capsys.readouterr().out
    rows = [line.split("|")[1].strip() for line in said.splitlines() if line.startswith("| ")]
    for kind in ("forward", "forward, compiled", "forward + all layers", "forward + late layers"):
        assert kind in rows
    assert {"trace of all layers", "trace of all layers, compiled"} <= {*rows}
    for part in ("fed by the host", "ablations of", "indirect effect", "direction, ", "texts x"):
        assert any(part in row for row in rows), part
    assert "against float64: median error" in said
    assert "not measured" not in said


def traced(visual: Any, layers: Sequence[int], backend: str) -> Callable[[Tensor], Trace]:
    """A stand-in for traces by the compiler."""
    assert backend == "eager"
    return partial(capture, visual, layers=layers)


@contextmanager
def memory(free: int, used: int) -> Iterator[None]:
    """What a GPU says of itself, on one that is simulated."""
    said = {
        "synchronize": lambda *_: None,
        "empty_cache": lambda: None,
        "reset_peak_memory_stats": lambda *_: None,
        "max_memory_allocated": lambda *_: used,
        "mem_get_info": lambda *_: (free, free),
    }
    with patch.multiple(torch.cuda, **said):
        yield


@pytest.mark.environment  # a simulated GPU takes half a minute for it
def test_its_passes_run_on_a_gpu_in_as_many_parts_as_its_memory_asks_for(gpu, passes, capsys):
    with simulated_gpu(), memory(free=10**6, used=2**31), torch.inference_mode():
        bench = gpu.Bench(torch.device("cuda"), 2, 24, 3, 0.0, inf, True)
        assert bench.timed(lambda: None)[1] == 2
        bench.timed = lambda work: (work(), (1.0, 3.0))[1]
        clip = gpu.load_clip(gpu.tower("tiny"), device=bench.device)
        gpu.check(bench, clip, "tiny, float32")
        pixels = torch.randn(2, 3, *clip.image_size).to(bench.device)
        seen = passes.Passes(bench, clip, "tiny, float32", pixels, 1.0)
        passes.sweeps(seen, "late layers", (2,))
        passes.sweeps(seen, "all layers", (1, 2))
        passes.ablations(seen, (2,))
        passes.indirect(seen)
        gpu.per_neuron(bench, (16, 8))
    said = capsys.readouterr().out
    assert "passed" in said
    assert "| forward + late layers, fed by the host |" in said
    assert "all layers in 2 passes" in said
    assert said.count("| 3.0 |") == 9
    assert not bench.failures


def test_two_in_a_hundred_effects_are_ablated_as_large(gpu, passes):
    clip = gpu.load_clip(gpu.tower("tiny"))
    pixels = torch.randn(100, 3, *clip.image_size)
    with torch.inference_mode():
        trace = clip.trace(pixels, [2], writes=True)
        ((lens, seen),) = passes._calibrated(clip, pixels, (2,))
        item = passes.ablation(lens, seen, trace)
        large = item.ablated(trace).norms > item.thresholds
        assert large.float().mean() == pytest.approx(0.02, abs=0.005)
        changed = item.changes(trace)
        assert 0 < changed["large"].norm() < changed["small"].norm() < representations(trace).norm()


def test_a_wrong_norm_fails_the_check(gpu, capsys):
    bench = gpu._bench(gpu._options(["--dry"]))
    clip = gpu.load_clip(gpu.tower("tiny"))
    clip.weights.blocks[-2].neuron_writes.data.mul_(2)
    gpu.check(bench, clip, "tiny, float32")
    assert "**failed**" in capsys.readouterr().out
    assert bench.failures


def test_goals_are_met_or_missed(gpu):
    bench = gpu.Bench(torch.device("cpu"), 4, 64, 4, 0.0, inf, False)
    bench.goal("a", 1.1, 1.15)
    bench.goal("b", 0.8, 0.85, above=True)
    assert ["| met |" in goal for goal in bench.goals] == [True, False]
    assert ["| **missed** |" in goal for goal in bench.goals] == [False, True]
    assert bench.failures == ["b"]


def test_a_gpu_that_is_too_small_is_told_the_batch_that_may_fit(gpu, capsys, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(gpu, "measure", full)
    assert gpu.main(["--dry", "--types", "float32"]) == 1
    said = capsys.readouterr().out
    assert "`--batch 2`" in said
    assert "### Per neuron" in said


def test_without_a_gpu_it_says_how_to_go_on(gpu, monkeypatch, capsys):
    monkeypatch.setattr(gpu.torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        gpu.main([])
    assert "`--dry`" in capsys.readouterr().err
