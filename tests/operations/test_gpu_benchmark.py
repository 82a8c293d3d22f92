"""The benchmark that people with a GPU run: all of it runs, and it needs neither Ray nor a store."""

import ast
import importlib
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
NEEDED = ("clipneuron", "clipneuron.lens", "clipneuron.models", "torch", "open_clip")
OWN = ("effects", "machine")


def imported(name: str) -> set[str]:
    tree = ast.parse((BENCHMARKS / f"{name}.py").read_text())
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
        elif isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
    return found


@pytest.mark.parametrize("name", ["gpu", *OWN])
def test_the_benchmark_imports_the_lens_and_models_alone(name):
    for module in imported(name) - {*OWN, *sys.stdlib_module_names}:
        package = module.split(".")[0]
        assert (
            package in sys.stdlib_module_names
            or ".".join(module.split(".")[:2]) in NEEDED
            or (package in NEEDED and package != "clipneuron")
        ), module


def test_a_dry_run_prints_every_row(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    benchmark = importlib.import_module("gpu")
    assert benchmark.main(["--dry", "--types", "bfloat16"]) == 0
    said = capsys.readouterr().out
    rows = [line.split("|")[1].strip() for line in said.splitlines() if line.startswith("| ")]
    for wanted in ("forward", "forward, compiled", "forward + all layers", "forward + late layers"):
        assert wanted in rows
    for wanted in (
        "fed by the host",
        "ablations of all layers",
        "indirect effect",
        "direction, ",
        "texts x",
    ):
        assert any(wanted in row for row in rows), wanted
    assert "against float64: median error" in said
    assert "not measured" not in said


def test_a_wrong_norm_fails_the_check(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    benchmark = importlib.import_module("gpu")
    bench = benchmark._bench(benchmark._options(["--dry"]))
    clip = benchmark.load_clip(benchmark._tower("tiny"))
    clip.weights.blocks[-2].neuron_writes.data.mul_(2)
    benchmark._check(bench, clip, "tiny", "float32")
    assert "**failed**" in capsys.readouterr().out
    assert bench.failures


def test_without_a_gpu_it_says_how_to_go_on(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    benchmark = importlib.import_module("gpu")
    monkeypatch.setattr(benchmark.torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        benchmark.main([])
    assert "`--dry`" in capsys.readouterr().err
