"""What decodes pictures and commits tables needs no torch, which costs a process seconds and hundreds of MB."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from clipneuron.data.opening import open_collection
from clipneuron.engine.stage import Shard
from clipneuron.readers.pictures import PictureFeed
from tests.samples.world import clip, write_pictures

HEAVY = ("torch", "torchvision", "open_clip", "transformers", "diffusers")
LOADED = f"print(json.dumps([name for name in {HEAVY} if sys.modules.get(name)]))"


def loaded_by(code: str, *arguments: str) -> list[str]:
    """The heavy libraries that a fresh process has loaded after this code."""
    program = f"import json, sys\n{code}\n{LOADED}"
    command = [sys.executable, "-c", program, *arguments]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    names: list[str] = json.loads(answer.stdout.splitlines()[-1])
    return names


@pytest.mark.process
def test_the_steps_of_a_cluster_and_the_feed_load_no_heavy_library() -> None:
    code = "import clipneuron.readers.pictures, clipneuron.engine.ray_steps"
    assert loaded_by(code) == []


@pytest.mark.process
def test_the_tasks_of_single_neurons_load_torch_alone() -> None:
    """open_clip costs a process as much again, and only those with a model need it."""
    stages = [f"sweep.stages.{name}" for name in ("directions", "merge", "descriptions", "pools")]
    own = ("nearest", "dissected", "best", "controls", "scores", "outputs", "statements")
    stages += [f"explanation.stages.{name}" for name in own]
    stages += [f"segmentation.stages.{name}" for name in ("neurons", "scores")]
    stages += [
        f"concepts.stages.{name}" for name in ("effects", "heads", "concepts", "index", "scores")
    ]
    assert loaded_by("\n".join(f"import clipneuron.{stage}" for stage in stages)) == ["torch"]


@pytest.mark.process
def test_a_feed_from_another_process_decodes_without_heavy_libraries(tmp_path: Path) -> None:
    collection = open_collection(str(write_pictures(tmp_path / "pictures", 4)))
    feed = PictureFeed(collection.reader, clip().preprocess)
    shard = Shard("0", 4, collection.listing)
    (tmp_path / "packed").write_bytes(pickle.dumps((feed, shard)))
    code = (
        "import pickle, pathlib\n"
        "feed, shard = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())\n"
        "batch = feed.load(shard)\n"
        "assert batch.pixels.shape == (4, 3, 16, 16), batch.failures\n"
        "assert pickle.loads(pickle.dumps(batch)).pixels.sum() == batch.pixels.sum()"
    )
    assert loaded_by(code, str(tmp_path / "packed")) == []
