"""A neuron that does nothing, or the same on all pictures, is said to have no direction; others are not touched."""

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from clipneuron.models.clip.model import Clip, load_clip
from clipneuron.store.store import Run
from clipneuron.sweep.neurons import neuron_cards
from clipneuron.sweep.pipeline import Sweep
from clipneuron.sweep.report import layer_figures, layers_table, neurons_table
from tests.samples.world import clip, quiet_runner, recipe_of, store_in, write_pictures

DEAD = 3


def with_a_dead_neuron() -> Clip:
    """The tiny model with a neuron of layer 0 that writes nothing."""
    network = deepcopy(clip().network)
    with torch.no_grad():
        network.visual.transformer.resblocks[0].mlp.c_proj.weight[:, DEAD] = 0
    return load_clip(network)


def swept(folder: Path, model: Clip, **options: object) -> tuple[Sweep, Run]:
    sweep = Sweep.of(recipe_of(folder, **options), store_in(folder, "store"), model)
    return sweep, sweep.run(quiet_runner())[0]


def notes(run: Run) -> dict[tuple[int, int], str]:
    rows = run.read("directions", "directions", columns=["layer", "neuron", "note"]).to_pylist()
    return {(row["layer"], row["neuron"]): row["note"] for row in rows if row["note"]}


@pytest.mark.parametrize("split", ["equal", "centered"])
def test_a_dead_neuron_is_said_to_be_dead_and_no_other(tmp_path: Path, split: str) -> None:
    write_pictures(tmp_path / "pictures", 5)
    sweep, run = swept(tmp_path, with_a_dead_neuron(), split=split, batch_size=8, shard_size=8)
    assert notes(run) == {(0, DEAD): "dead: it adds nothing of its own on any picture"}
    keys = sweep.results(run)
    (card,) = neuron_cards(run, keys, 0, [DEAD])
    assert card.explained == "dead"
    assert "dead" in neurons_table([card]).columns[2]._cells[0].plain  # type: ignore[union-attr]
    figures = layer_figures(run, 0, keys)
    assert (figures.dead, figures.no_variance) == (1, 0)
    assert 0 < figures.participation <= 1, "the median of those that have one"
    caption = layers_table([figures]).caption
    assert str(caption) == f"layer 0: 1 dead of {figures.neurons} neurons"


def test_identical_pictures_have_no_variance_to_explain(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    for number in range(7):
        Image.fromarray(noise).save(tmp_path / "pictures" / f"{number}.png")
    sweep, run = swept(tmp_path, clip(), batch_size=3, shard_size=5)
    found = notes(run)
    assert len(found) == 2 * clip().neurons
    assert {note.partition(":")[0] for note in found.values()} == {"no variance"}
    figures = [layer_figures(run, layer, sweep.results(run)) for layer in sweep.layers]
    assert layers_table(figures).columns[2]._cells[0].plain == "no variance"  # type: ignore[union-attr]
    sheet = sweep.findings(run, 2)
    assert {card.explained for card in sheet.cards} == {"no variance"}
    assert sheet.as_json()["layers"][0]["no_variance"] == clip().neurons  # type: ignore[index]
