"""What a user has and types: a model, pictures and texts in a folder, and commands on them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import safetensors.torch

from clipneuron.cli import main
from tests.samples.towers import tiny_clip, tiny_config
from tests.samples.world import TEXTS, write_pictures

SHAPE = {"layers": 3, "width": 16, "embed": 12, "image_size": 16, "patch_size": 8}


def settle(folder: Path) -> Path:
    """The folder, with a model, twelve pictures (number 5 is cut off) and texts in it."""
    model = folder / "model"
    model.mkdir(parents=True)
    (model / "open_clip_config.json").write_text(json.dumps({"model_cfg": tiny_config(**SHAPE)}))
    state = {name: value.contiguous() for name, value in tiny_clip(**SHAPE).state_dict().items()}
    safetensors.torch.save_file(state, model / "open_clip_model.safetensors")
    write_pictures(folder / "pictures")
    (folder / "texts.txt").write_text("\n".join(TEXTS))
    return folder


def recipe(place: Path) -> list[str]:
    """The options that say what to compute."""
    words = ["--model", place / "model", "--images", place / "pictures", "--pool"]
    words += [place / "texts.txt", "--atoms", "4", "--top", "5", "--shard-size", "4"]
    return [str(word) for word in words]


def run(place: Path, *more: str, store: str = "store") -> int:
    """`clipneuron run` in this process."""
    own = ["--engine", "in-process", "--store", str(place / store)]
    return main(["run", *recipe(place), *own, *more])


def complete(place: Path, store: str) -> None:
    """A store with the complete run of the place: computed once, then copied."""
    kept = place / "complete"
    if not kept.exists():
        assert run(place, store=kept.name) == 0
    shutil.copytree(kept, place / store)


def imported_by(commands: Sequence[Sequence[str]], place: Path) -> list[tuple[int, set[str]]]:
    """The exit status of each command, run one after another in one new process, and all modules imported by then."""
    program = (
        "import contextlib, io, json, sys\nfrom clipneuron.cli import main\nfound = []\n"
        f"for words in {[list(words) for words in commands]!r}:\n"
        "    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):\n"
        "        try:\n            status = main(words)\n"
        "        except SystemExit as exit:\n            status = exit.code\n"
        "    found.append((status, sorted(name for name in sys.modules if '.' not in name)))\n"
        "print(json.dumps(found))"
    )
    root = Path(__file__).resolve().parents[2]
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    return [(status, set(names)) for status, names in json.loads(result.stdout)]
