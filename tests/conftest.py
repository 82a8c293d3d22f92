"""Shared by all tests: shapes in signatures can be checked, and shared reference data is found or skipped."""

import gc
import os
from pathlib import Path

import pytest

pytest_plugins = ["tests.samples.marks"]
FIXTURES = ("shapes", "cluster", "servers", "places")
"""Modules of tests/samples that tests get fixtures and hooks from, and with them torch and Ray."""

# What is imported and collected stays to the end: the garbage collector need not look through it again and again.
gc.disable()

# No test pulls the plug, so nobody has to wait until the disk has what is written (nor in processes: samples/light).
os.fsync = lambda descriptor: None

# For every Ray cluster that a test starts, here or in a process of its own. The way of authentication is settled once
# per process, by its first cluster, and a local one would settle on a token that the others do not know. A busy
# neighbour's memory is no reason to kill workers, nor his work one to let them starve. Nobody looks at the
# metrics, which every node samples all the time, or at statistics of usage, for which Ray Data starts a process.
os.environ |= {
    "RAY_AUTH_MODE": "disabled",
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_worker_niceness": "0",
    "RAY_enable_metrics_collection": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "OMP_NUM_THREADS": "1",
}

# Nor does any test join a cluster of somebody else's, or print tables as narrow as somebody's terminal.
os.environ.pop("RAY_ADDRESS", None)
os.environ.pop("COLUMNS", None)


def pytest_configure(config: pytest.Config) -> None:
    """A process that only deals out tests to others need not import what they need."""
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        _lighten_processes()
        _prepare(config)


def _lighten_processes() -> None:
    """Processes that tests start begin without libraries that their models do not need (tests/samples/light)."""
    light = str(Path(__file__).parent / "samples" / "light")
    others = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [light, others]))


def _prepare(config: pytest.Config) -> None:
    """What tests are checked by, and their fixtures."""
    import torch
    from hypothesis import settings
    from jaxtyping import install_import_hook

    install_import_hook(["clipneuron.lens", "clipneuron.models"], "beartype.beartype")
    # Small tensors everywhere: a second thread costs more than it gives, above all on a busy machine.
    torch.set_num_threads(1)
    # How long an example takes says how busy the machine is.
    settings.register_profile("suite", deadline=None)
    settings.load_profile("suite")
    for name in FIXTURES:
        config.pluginmanager.import_plugin(f"tests.samples.{name}")


def pytest_collection_finish() -> None:
    """From here on there is garbage again, of tests alone."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """A process of `make test` has sent its results: taking apart all that it has imported would take ten seconds."""
    if hasattr(config, "workerinput"):
        os._exit(0)
    gc.unfreeze()  # libraries look at exit for what of theirs is left


SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def parity() -> Path:
    """Folder with outputs of the authors' own program; the test is skipped where it is not at hand."""
    folder = SHARED / "parity"
    if not folder.exists():
        pytest.skip(
            "the authors' program's outputs (../shared/data/parity) are not on this machine"
        )
    return folder
