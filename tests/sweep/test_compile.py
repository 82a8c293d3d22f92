"""Sweeps whose traces come from torch's compiler."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from clipneuron.engine.runner import RunIncompleteError
from clipneuron.readers.arrow import tensor
from clipneuron.sweep.inputs import check
from tests.samples.processes import run_in_process
from tests.samples.world import quiet_runner, recipe_of, sweep_of


@pytest.mark.environment  # torch's compiler takes many seconds
@pytest.mark.process
def test_norms_are_those_of_a_usual_sweep_up_to_rounding(tmp_path: Path) -> None:
    errors = run_in_process(norms_apart, tmp_path)
    assert set(errors) == {0, 1}
    assert 0 < max(errors.values()) < 1e-4, "of a layer's largest norm, in float32"


def norms_apart(folder: Path) -> dict[int, float]:
    """How far the norms of each layer are from those of a sweep without the compiler."""
    torch.set_num_threads(1)
    runs = [
        sweep_of(folder, compile=asked).run(quiet_runner(), until="effects")[0]
        for asked in (False, True)
    ]
    tables = [run.read("effects", "norms").sort_by("index") for run in runs]
    found = {}
    for layer in (0, 1):
        usual, compiled = (tensor(table[f"layer_{layer}"].drop_null()).numpy() for table in tables)
        assert usual.shape == compiled.shape
        found[layer] = float(np.abs(compiled - usual).max() / usual.max())
    return found


def test_the_identity_says_so_and_is_what_it_was_without(tmp_path: Path) -> None:
    usual, compiled = sweep_of(tmp_path), sweep_of(tmp_path, compile=True)
    assert "compile" not in usual.identity
    assert compiled.identity == {**usual.identity, "compile": True}
    assert (usual.clip.compiles, compiled.clip.compiles) == (False, True)


@pytest.mark.process
def test_without_a_compiler_it_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    check(recipe_of(tmp_path))
    compiler = "clang" if sys.platform == "darwin" else "g"
    with pytest.raises(ValueError, match=rf"takes a C\+\+ compiler, and {compiler}\+\+ is not"):
        check(recipe_of(tmp_path, compile=True))
    for name in ("own-compiler", "c++"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    with pytest.raises(ValueError, match="is not found here"):
        check(recipe_of(tmp_path, compile=True))  # torch looks for no c++
    monkeypatch.setenv("CXX", "own-compiler")
    check(recipe_of(tmp_path, compile=True))
    monkeypatch.setenv("CXX", "nowhere")
    with pytest.raises(ValueError, match="and nowhere is not found here"):
        check(recipe_of(tmp_path, compile=True))


@pytest.mark.process
@pytest.mark.parametrize(
    ("program", "trouble"),
    [
        (
            "#!/bin/sh\necho no licence >&2\nexit 3\n",
            r"does not compile an empty file \(no licence\)",
        ),
        ("#!/bin/sh\nexit 3\n", r"does not compile an empty file \(exit status 3\)"),
        ("no program\n", r"does not run \(.*Exec format error"),
    ],
)
def test_a_compiler_that_does_not_work_is_refused_with_what_it_says(
    tmp_path: Path, monkeypatch, program: str, trouble: str
) -> None:
    broken = tmp_path / "broken"
    broken.write_text(program)
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    with pytest.raises(ValueError, match=rf"takes a C\+\+ compiler, and {broken} {trouble}"):
        check(recipe_of(tmp_path, compile=True))


def test_a_worker_without_a_compiler_says_so_of_a_shard(tmp_path: Path, monkeypatch) -> None:
    sweep = sweep_of(tmp_path, compile=True)
    monkeypatch.setenv("CXX", "nowhere")
    with pytest.raises(RunIncompleteError, match="nowhere is not found here: install g"):
        sweep.run(quiet_runner(), until="effects")
