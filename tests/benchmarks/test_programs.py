"""Programs that nothing else runs still fit what they measure."""

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import torch

PROGRAMS = Path(__file__).resolve().parents[2] / "benchmarks"
pytestmark = pytest.mark.environment  # seconds of work in ViT-B-32's shape


@pytest.fixture
def program(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[ModuleType]:
    """A module, which measures nothing when it is imported; it and its neighbours are forgotten again."""
    monkeypatch.syspath_prepend(PROGRAMS)
    before = set(sys.modules)
    yield import_module(request.param)
    for name in set(sys.modules) - before:
        if (PROGRAMS / f"{name}.py").exists():
            del sys.modules[name]


@pytest.mark.parametrize(
    "seed", [0, 1, 2]
)  # of 0, a layer's pictures have an axis less than coordinates
@pytest.mark.parametrize("program", ["projection"], indirect=True)
def test_the_projection_counts_operations_as_torch_does(program, capsys, seed):
    torch.manual_seed(seed)
    program.check()
    assert "agree on a small model, for every pass" in capsys.readouterr().out


@pytest.mark.parametrize("program", ["concepts"], indirect=True)
def test_concepts_are_timed_method_by_method(program, capsys):
    program.seconds(1)
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 9  # two of heads, a plain pass, five searches, the sparse sum
