"""What these tests start from: the repository, and a copy of the parts of it that would be sent somewhere."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def tracked() -> set[str]:
    """The files that git knows, relative to the root."""
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {name for name in listing.stdout.split("\0") if name}


def is_tracked(source: str) -> bool:
    """Whether git knows a file of this name, or a folder that holds files."""
    name = source.rstrip("/")
    return any(path == name or path.startswith(f"{name}/") for path in tracked())


def copy_of(sources: Iterable[str], target: Path) -> None:
    """Copies the tracked files of these names and folders, and nothing else."""
    wanted = tuple(sources)
    for path in tracked():
        if any(path == name or path.startswith(f"{name}/") for name in wanted):
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, target / path)


def run(command: str, folder: Path, environment: Mapping[str, str]) -> str:
    """What a shell command printed, in an environment without a trace of this one's packages."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "VIRTUAL_ENV", "UV_", "RAY_"))
    }
    # The plain Python that this environment was made with stands for the one on the other machine.
    plain = str(Path(sys.base_prefix) / "bin")
    home = Path.home() / ".cache"
    path = environment.get("PATH", "").replace("$PATH", "") + f"{plain}:{os.environ['PATH']}"
    caches = {"UV_CACHE_DIR": str(home / "uv"), "PIP_CACHE_DIR": str(home / "pip")}
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        env={**clean, **environment, **caches, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def check_installation(binaries: Path, folder: Path) -> None:
    """Asserts that what was installed there works without the repository: version, doctor, a small demo run."""
    command = binaries / "clipneuron"
    assert run(f"{command} --version", folder, {}).startswith("clipneuron ")
    assert "MISSING" not in run(f"{command} doctor", folder, {})
    where = run(f"{binaries}/python -c 'import clipneuron; print(clipneuron.__file__)'", folder, {})
    assert where.startswith(str(binaries.parent)), "the repository's own package was imported"
    demo = f"{command} run --recipe demo --limit 40 --atoms 2 --store demo"
    assert "PC 1 explains" in run(demo, folder, {})
    assert "--recipe" in run(f"{binaries}/python -m jobs.sweep --help", folder, {})
