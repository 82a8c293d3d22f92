"""Pictures show their data, say whose figures they are, and are the same bytes wherever they are drawn."""

import io
from collections.abc import Callable
from functools import cache

import matplotlib
import numpy as np
import pytest
from PIL import Image

from clipneuron.evidence import plots
from clipneuron.evidence.claims.grounds import Evidence
from clipneuron.evidence.distributions import Variances
from tests.samples import evidence_tables as samples
from tests.samples.evidence_tables import DETAIL, NONE

pytestmark = pytest.mark.slow

NOTE = "a small CLIP"
RIGHT = (
    {NONE: 62}
    | {("all", layer, -1): 62 - 3 * layer for layer in range(11)}
    | {("pc", layer, -1): 61 for layer in range(11)}
    | {(f"texts:words-10k:{m}", DETAIL, -1): 40 + place for place, m in enumerate((4, 8, 128))}
    | {("attention", layer, -1): 60 - 4 * layer for layer in range(12)}
    | {("heads", layer, head): 60 - 4 * layer - head for layer in range(12) for head in (0, 1)}
)
FOUND = samples.counted(RIGHT, 100)
SHARES = {layer: np.linspace(0.01, 0.3 + layer / 50, 30) for layer in range(11)}
VARIANCES = Variances(np.arange(30), 64, SHARES[0] / 3, SHARES[1] / 4, SHARES[2], SHARES[3])
HEADS = np.outer(np.arange(12.0), [0.1, 0.2])

PICTURES: dict[str, Callable[[], bytes]] = {
    "layers": lambda: plots.layer_curves(FOUND, NOTE),
    "texts": lambda: plots.text_curves(FOUND, DETAIL, NOTE),
    "first order": lambda: plots.first_order_curves(FOUND, NOTE),
    "heads": lambda: plots.head_sizes(HEADS, NOTE),
    "sparsity": lambda: plots.sparsity(SHARES, SHARES, NOTE),
    "rank": lambda: plots.rank(SHARES, NOTE),
    "indirect": lambda: plots.indirect_variances(VARIANCES, DETAIL, NOTE),
}


@cache
def picture(name: str) -> bytes:
    """The picture of this name, drawn once for those who look at it."""
    return PICTURES[name]()


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def inked(data: bytes, colour: str) -> int:
    """Pixels of exactly this colour."""
    wanted = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    return int((pixels(data) == wanted).all(axis=-1).sum())


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_wide_and_not_blank(name: str):
    data = picture(name)
    image = Image.open(io.BytesIO(data))
    assert (image.format, image.width) == ("PNG", 1000)
    middle = pixels(data)[150:-150, 150:-150]
    assert (middle != 255).any(axis=-1).mean() > 0.01
    assert {"Software", "Date", "Creation Time"}.isdisjoint(image.info)


@pytest.mark.parametrize("name", ["layers", "rank"])
def test_nobodys_settings_change_the_bytes(name: str):
    first = picture(name)
    with matplotlib.rc_context({"lines.linewidth": 9, "axes.facecolor": "black"}):
        assert PICTURES[name]() == first
        assert matplotlib.rcParams["lines.linewidth"] == 9


def test_the_curves_are_where_the_data_are():
    data = picture("layers")
    assert inked(data, plots.RED) > 500
    assert inked(data, plots.GREEN) > 500
    # Nothing was computed without large or small norms, hence no curve and no legend.
    assert inked(data, plots.ORANGE) == inked(data, plots.BLUE) == 0


def test_the_note_is_part_of_the_picture():
    ours, theirs = pixels(picture("rank")), pixels(plots.rank(SHARES, "a larger CLIP"))
    assert (ours[:-30] == theirs[:-30]).all()
    assert (ours[-30:] != theirs[-30:]).any()


def test_neurons_without_effect_do_not_hinder_a_distribution():
    some = {3: np.array([np.nan, 0.1, 0.2]), 4: np.array([np.nan]), 5: np.zeros(3)}
    assert pixels(plots.sparsity({}, some, NOTE)).std() > 0
    assert pixels(plots.rank({4: np.array([np.nan])}, NOTE)).std() > 0


def test_only_what_was_computed_is_drawn(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(plots, "chart", lambda *_, **__: b"")  # only which there are

    def names(right: dict[samples.Key, int], **figures: object) -> set[str]:
        known = samples.counted(right, 100), samples.distributions(**figures)
        return set(plots.drawn(Evidence(samples.setting(), *known)))

    assert names({}) == set()
    assert names({NONE: 62, ("all", 3, -1): 50}) == {"fig3.png"}
    everything = names(
        RIGHT,
        explained=SHARES,
        participation=SHARES,
        indirect={DETAIL: VARIANCES},
        heads=HEADS,
    )
    assert everything == {
        "fig3.png",
        "fig4-layer-9.png",
        "fig10.png",
        "heads.png",
        "sparsity.png",
        "rank.png",
        "indirect-layer-9.png",
    }
