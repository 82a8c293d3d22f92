"""The import contracts hold, and they can tell: a planted violation of each contract is found."""

import subprocess
import sys
from collections import Counter
from copy import deepcopy
from pathlib import Path

import grimp
import pytest
from importlinter.api import read_configuration
from importlinter.contracts.forbidden import ForbiddenContract
from importlinter.contracts.independence import IndependenceContract
from importlinter.contracts.layers import LayersContract

ROOT = Path(__file__).resolve().parents[1]
CONFIGURATION = read_configuration(str(ROOT / "pyproject.toml"))
TYPES = {
    "forbidden": ForbiddenContract,
    "independence": IndependenceContract,
    "layers": LayersContract,
}
PLANTED = [
    # (contract, importer, imported)
    ("layers", "clipneuron.lens.effects", "clipneuron.store.store"),
    ("layers", "clipneuron.attack.table3", "clipneuron.evidence.plots"),
    ("stages", "clipneuron.sweep.stages.effects", "clipneuron.sweep.stages.plan"),
    ("stages-know-no-line", "clipneuron.sweep.stages.effects", "clipneuron.sweep.pipeline"),
    ("pure-lens", "clipneuron.lens.pursuit", "numpy"),
    ("light", "clipneuron.data.plans", "torch"),
    ("light", "clipneuron.config.recipe", "clipneuron.lens.paths"),  # which imports torch
    ("models", "clipneuron.sweep.stages.texts", "open_clip"),
    ("generation", "clipneuron.demo.grammar", "diffusers"),
    ("engine", "clipneuron.engine.runner", "clipneuron.readers.arrow"),
    ("ray", "clipneuron.sweep.stages.effects", "ray"),
]


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """Who imports whom, as the repository is."""
    packages = CONFIGURATION["session_options"]["root_packages"]
    return grimp.build_graph(*packages, include_external_packages=True, cache_dir=None)


def broken(graph: grimp.ImportGraph) -> set[str]:
    """The ids of the contracts that do not hold."""
    session, contracts = CONFIGURATION["session_options"], CONFIGURATION["contracts_options"]
    checks = {
        options["id"]: TYPES[options["type"]](options["name"], session, options).check(
            deepcopy(graph), verbose=False
        )
        for options in contracts
    }
    return {name for name, check in checks.items() if not check.kept}


def test_the_contracts_hold(graph: grimp.ImportGraph) -> None:
    assert broken(graph) == set()


@pytest.mark.parametrize(("contract", "importer", "imported"), PLANTED)
def test_a_planted_violation_is_found(
    graph: grimp.ImportGraph, contract: str, importer: str, imported: str
) -> None:
    planted = deepcopy(graph)
    assert importer in planted.modules
    planted.add_import(importer=importer, imported=imported)
    assert contract in broken(planted)


def test_every_contract_has_a_planted_violation() -> None:
    names = {options["id"] for options in CONFIGURATION["contracts_options"]}
    assert {contract for contract, *_ in PLANTED} == names


def test_no_module_has_a_name_that_says_nothing():
    names = {path.stem for path in (ROOT / "clipneuron").rglob("*.py")}
    assert not names & {"utils", "util", "common", "helpers", "misc", "tools"}


def test_no_folder_has_more_modules_side_by_side_than_one_takes_in():
    modules = (ROOT / "clipneuron").rglob("*.py")
    counts = Counter(path.parent for path in modules if path.name != "__init__.py")
    assert {folder: count for folder, count in counts.items() if count > 15} == {}


@pytest.mark.process
def test_importing_the_package_loads_no_heavy_library():
    code = (
        "import sys, clipneuron, clipneuron.engine.stage, clipneuron.cli; "
        "print([name for name in ('torch', 'open_clip', 'transformers', 'diffusers', 'ray') if sys.modules.get(name)])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
