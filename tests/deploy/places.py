"""What these tests start from: the repository, and a copy of the parts of it that would be sent somewhere."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def listed(*options: str) -> set[str]:
    """The files that git lists, relative to the root."""
    command = ["git", "ls-files", "-z", *options]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return {name for name in listing.stdout.split("\0") if name and (ROOT / name).exists()}


def is_tracked(source: str) -> bool:
    """Whether git knows a file of this name, or a folder that holds files."""
    return any(_is_in(path, source) for path in listed())


def copy_of(sources: Iterable[str], target: Path) -> None:
    """Copies the files of these names and folders, but none that git ignores."""
    wanted = tuple(sources)
    for path in listed("--cached", "--others", "--exclude-standard"):
        if any(_is_in(path, name) for name in wanted):
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, target / path)


def _is_in(path: str, source: str) -> bool:
    name = source.rstrip("/")
    return path == name or path.startswith(f"{name}/")


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
    demo = f"{command} run --recipe demo --limit 40 --atoms 2 --engine in-process --store demo"
    assert "PC 1 explains" in run(demo, folder, {})
    assert "--recipe" in run(f"{binaries}/python -m jobs.sweep --help", folder, {})
