"""The explanation score on a run whose every table is written by hand."""

from functools import partial

import numpy as np
import pyarrow as pa
import pytest
import torch

from clipneuron.data.opening import open_collection
from clipneuron.demo.collection import read_collection, write_collection
from clipneuron.engine.stage import Named
from clipneuron.store.store import Run, Store
from clipneuron.sweep.inputs import scene_truth
from clipneuron.sweep.stages.explanations import ExplanationsStage, derangement
from clipneuron.tables import registry as tables

STAGES = ("effects", "directions", "descriptions-x")
IMAGES = 8
TRUE_OF = {"cat": [0, 1, 2], "dog": [3, 4], "sea": [5]}
TOPS = [[0, 1, 2], [3, 4, -1], [6, 7, -1]]
PROJECTIONS = [[3.0, 2.0, 1.0], [2.0, 1.0, 0.0], [1.0, -1.0, 0.0]]
WORDS = [(0, "cat", 1.0), (0, "sea", -0.5), (1, "sea", 0.1), (1, "dog", 2.0), (2, "cat", 1.0)]


def truth(texts):
    return np.array([[image in TRUE_OF.get(text, ()) for image in range(IMAGES)] for text in texts])


def table(name: str, rows: int, **columns) -> pa.Table:
    """A table of the schema whose other columns hold nothing of interest."""
    schema = tables.schema(name, **({"layers": [0], "neurons": 3} if name == "norms" else {}))
    empty = {"string": "ok", "list": [], "fixed_size_list": [0.0] * 3}
    filled = {
        field.name: columns.get(field.name, [empty.get(str(field.type).split("<")[0], 0)] * rows)
        for field in schema
    }
    return pa.table(
        {k: pa.array(v, schema.field(k).type) for k, v in filled.items()}, schema=schema
    )


@pytest.fixture
def run(tmp_path) -> Run:
    run = Store(tmp_path).open_run("by-hand", {"test": 1})
    norms = table("norms", IMAGES, index=list(range(IMAGES)))
    empty = {"summaries": table("summaries", 0), "remainders": table("remainders", 0)}
    run.commit("effects", "0", {"norms": norms, **empty})
    directions = table(
        "directions", 3, neuron=[0, 1, 2], top_images=TOPS, top_projections=PROJECTIONS
    )
    run.commit("directions", "0", {"directions": directions})
    neuron, text, weight = zip(*WORDS, strict=True)
    words = table("neuron_words", len(WORDS), neuron=neuron, text=text, weight=weight)
    run.commit("descriptions-x", "0", {"neuron_words": words})
    return run


def test_words_that_are_true_of_the_top_pictures_score_one(run):
    stage = ExplanationsStage(truth, *map(Named, STAGES), "x", (0,), 3, swept=("0",))
    worker = stage.build(stage.share(run))
    (shard,) = stage.shards(run)
    found = (
        worker.process(stage.loader(run).load(shard), lambda rows: None)
        .tables["explanations"]
        .to_pylist()
    )
    assert [row["positives"] for row in found] == [3, 2, 1]
    assert found[0]["auc"] == 1
    assert found[1]["auc"] == 1
    # Picture 6 scores 0: it loses to the three cats and ties with the four others.
    assert found[2]["auc"] == pytest.approx(4 * 0.5 / 7)
    assert found[1]["shuffled_auc"] < 0.6  # words about cats say nothing of dogs


@pytest.mark.parametrize("size", [2, 3, 10])
def test_no_neuron_is_its_own_control(size):
    other = derangement(size, seed=3)
    assert sorted(other.tolist()) == list(range(size))
    assert (other != torch.arange(size)).all()


def test_the_demo_worlds_scenes_say_what_is_true_of_them(tmp_path):
    write_collection(tmp_path, 6, 3, biased=True)
    collection = open_collection(tmp_path)
    names = [picture.image for picture in collection.pictures]
    ask = partial(scene_truth, 3, names)
    held = ask([picture.label_name or "cat" for picture in collection.pictures] + ["xyzzy"])
    assert held.shape == (7, 6)
    labelled = [n for n, picture in enumerate(collection.pictures) if picture.label_name]
    assert all(held[n, n] for n in labelled)
    assert not held[6].any()
    records = read_collection(tmp_path)
    things = sorted({thing for record in records for thing in record.contents})
    written = [[thing in record.contents for record in records] for thing in things]
    assert ask(things).tolist() == written
