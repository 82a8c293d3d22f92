"""The house's rules hold, and the rules can tell: a planted violation of each contract is found."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

PLANTED = {
    "layers": ("clipneuron/lens/effects.py", "import clipneuron.store.store"),
    "neighbours": ("clipneuron/attack/table3.py", "import clipneuron.evidence.plots"),
    "stages": ("clipneuron/sweep/stages/effects.py", "import clipneuron.sweep.stages.plan"),
    "line": ("clipneuron/sweep/stages/effects.py", "import clipneuron.sweep.pipeline"),
    "pure-lens": ("clipneuron/lens/pursuit.py", "import numpy"),
    "light": ("clipneuron/data/plans.py", "import torch"),
    "indirectly": ("clipneuron/config/recipe.py", "import clipneuron.lens.paths"),
    "models": ("clipneuron/sweep/stages/texts.py", "import open_clip"),
    "generation": ("clipneuron/demo/grammar.py", "import diffusers"),
    "engine": ("clipneuron/engine/runner.py", "import clipneuron.readers.arrow"),
    "ray": ("clipneuron/sweep/stages/effects.py", "import ray"),
}
BROKEN = {
    "layers": "Imports go down only",
    "neighbours": "Imports go down only",
    "stages": "Stages meet only through tables",
    "line": "A stage knows neither the pipeline",
    "pure-lens": "The lens is pure",
    "light": "What plans, stores and schedules starts without torch",
    "indirectly": "What plans, stores and schedules starts without torch",
    "models": "Only models knows",
    "generation": "Nor do the demo world",
    "engine": "The engine knows no concrete stage",
    "ray": "Only the engine knows Ray",
}


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def house(tmp_path: Path) -> Path:
    for name in ("clipneuron", "jobs"):
        ignore = shutil.ignore_patterns("__pycache__", "weights")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_contracts_hold(house):
    result = lint(house)
    assert result.returncode == 0, result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("contract", PLANTED)
def test_a_planted_violation_is_found(house, contract):
    name, line = PLANTED[contract]
    module = house / name
    module.write_text(module.read_text() + f"\n{line}\n")
    result = lint(house)
    assert result.returncode != 0
    assert f"{BROKEN[contract]}" in result.stdout.split("Broken contracts")[1]


def test_no_module_has_a_name_that_says_nothing():
    names = {path.stem for path in (ROOT / "clipneuron").rglob("*.py")}
    assert not names & {"utils", "util", "common", "helpers", "misc", "tools"}


def test_importing_the_package_loads_no_heavy_library():
    code = (
        "import sys, clipneuron, clipneuron.engine.stage, clipneuron.cli; "
        "print([name for name in ('torch', 'open_clip', 'transformers', 'diffusers', 'ray') if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
