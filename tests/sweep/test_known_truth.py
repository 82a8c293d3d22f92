"""The sweep of a tower whose weights are set by hand finds the words that its neurons write, with signs, in order."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from clipneuron.data.text_pools import open_pool
from clipneuron.store.store import Run
from clipneuron.sweep.neurons import NeuronCard, neuron_cards
from clipneuron.sweep.pipeline import Sweep
from tests.samples.planted import NEURONS, PlantedWorld, planted_world, recovery, swept


class Found(NamedTuple):
    """A world, what its sweep says of the planted neurons, and which picture shows which thing."""

    world: PlantedWorld
    sweep: Sweep
    run: Run
    cards: list[NeuronCard]
    shows: NDArray[np.bool_]
    folder: Path

    def mean(self, kind: str, shift: int = 0) -> NDArray[np.float64]:
        """Recovery of words, signs and order, mean over a kind; of the words of others with a shift."""
        count = len(self.world.planted)
        plans = [n for n, plan in enumerate(self.world.planted) if plan.kind == kind]
        words = [self.cards[(n + shift) % count].words for n in plans]
        known = [recovery(self.world.planted[n], own) for n, own in zip(plans, words, strict=True)]
        return np.mean(known, axis=0)


def found_in(folder: Path, **options: float) -> Found:
    world = planted_world(open_pool("words-300").texts, **options)
    sweep, run, shows = swept(world, folder, 280)
    cards = neuron_cards(run, sweep.results(run), 0, range(len(world.planted)))
    return Found(world, sweep, run, cards, shows, folder)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    return found_in(tmp_path_factory.mktemp("known"))


@pytest.mark.parametrize("kind", ["single", "pair", "against", "several"])
def test_words_signs_and_order_are_recovered(found: Found, kind: str) -> None:
    words, signs, order = found.mean(kind)
    assert words >= signs >= 0.95
    assert order >= 0.9


@pytest.mark.parametrize("kind", ["single", "pair", "against", "several"])
def test_the_words_of_other_neurons_are_not_theirs(found: Found, kind: str) -> None:
    assert found.mean(kind, shift=13)[0] < 0.15


def test_the_top_pictures_show_what_the_neurons_fire_for(found: Found) -> None:
    for plan, card in zip(found.world.planted, found.cards, strict=True):
        assert found.shows[list(card.top_images[:5])][:, list(plan.things)].any(axis=1).all()
        assert min(card.top_projections[:5]) > 0


def test_distractors_are_described_less_well(found: Found) -> None:
    """They write in random directions, which no few words of the pool are."""
    count = len(found.world.planted)
    rows = found.run.read(found.sweep.results(found.run).descriptions, "descriptions")
    left = rows.filter(np.array(rows["atom"]) == 3).sort_by("neuron")
    residuals = dict(zip(left["neuron"].to_pylist(), left["residual"].to_pylist(), strict=True))
    planted = [residuals.get(neuron, 0.0) for neuron in range(count)]
    others = [residuals[neuron] for neuron in range(count, NEURONS) if neuron in residuals]
    assert len(others) > 20
    assert np.quantile(planted, 0.9) < np.quantile(others, 0.1)


def test_what_turns_effects_takes_words_away(found: Found, tmp_path: Path) -> None:
    """Otherwise recovery would say nothing: here the effects are another head's, which rotates them."""
    disturbed = found_in(tmp_path, interference=2.0)
    for kind in ("single", "pair", "against", "several"):
        assert disturbed.mean(kind)[1] < 0.3 < found.mean(kind)[1]


def test_the_collection_says_what_is_true_of_its_pictures(found: Found) -> None:
    rows = pq.read_table(found.folder / "pictures" / "swept.parquet")
    assert found.sweep.collection.listing["label"].null_count == 0
    assert set(found.sweep.collection.label_names.values()) == set(found.world.things)
    for tags, label, shown in zip(
        rows["tags"].to_pylist(), rows["label"].to_pylist(), found.shows, strict=True
    ):
        assert label in tags
        assert tags == [found.world.things[thing] for thing in np.flatnonzero(shown)]
