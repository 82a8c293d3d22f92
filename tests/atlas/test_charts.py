"""Charts as SVG: what is drawn is what the numbers say, and words stand in for what is drawn."""

import doctest
import io
import re
import xml.etree.ElementTree as Tree
from base64 import b64decode
from random import Random

import numpy as np
import pytest
from PIL import Image

from clipneuron.atlas.cards import Ablation, Distribution, Head, Heat, Histogram, Point, Score
from clipneuron.atlas.html import wording
from clipneuron.atlas.html.charts import bars, curves, heads, heat, histograms, points, svg
from clipneuron.atlas.html.pages import style
from clipneuron.reports.drawing import AGAINST, TOWARDS
from tests.samples import atlas_cards as made


def paths(drawing: str, kind: str) -> list[str]:
    """The paths of a class."""
    return [p.get("d", "") for p in Tree.fromstring(drawing).iter("path") if p.get("class") == kind]


def heights(path: str) -> list[float]:
    return [-float(up) for up in re.findall(r"v(-?[\d.]+)h", path)]


def texts(drawing: str) -> list[str]:
    return [text.text or "" for text in Tree.fromstring(drawing).iter("text")]


@pytest.mark.parametrize("module", [wording, svg], ids=lambda module: module.__name__)
def test_examples(module: object) -> None:
    found = doctest.testmod(module)  # type: ignore[arg-type]
    assert found.attempted > 0
    assert found.failed == 0


def test_bars_grow_with_their_values_and_to_their_side() -> None:
    assert '<rect width="50%"/>' in bars.bar(0.5, 1.0, signed=False)
    assert '<rect x="50%" width="25%"/>' in bars.bar(0.5, 1.0)
    assert '<rect class="against" x="25%" width="25%"/>' in bars.bar(-0.5, 1.0)
    assert 'width="0%"' in bars.bar(0.0, 0.0)
    assert 'width="100%"' in bars.bar(7.0, 1.0, signed=False)


def test_a_histogram_marks_what_reaches_the_threshold_and_drops_empty_ends() -> None:
    found = Histogram((0.0, 1.0, 2.0, 3.0, 4.0, 5.0), (0, 16, 4, 1, 0), 2.9)
    drawing = histograms.histogram(found)
    (below,), (beyond,) = paths(drawing, "plain"), paths(drawing, "towards")
    assert len(heights(below)) == 2
    assert heights(below)[0] == pytest.approx(2 * heights(below)[1], abs=0.02)
    assert len(heights(beyond)) == 1
    lower = histograms.histogram(Histogram(found.edges, found.counts, 2.5))
    assert len(heights(paths(lower, "towards")[0])) == 2
    assert "over 21 pictures, from 1 to 4; threshold 2.9" in drawing


def test_logarithmic_bins_are_drawn_equally_wide() -> None:
    (path,) = paths(histograms.histogram(made.histogram()), "plain")
    widths = [float(width) for width in re.findall(r"h([\d.]+)", path)]
    assert max(widths) - min(widths) < 0.02


@pytest.mark.parametrize("counts", [(0, 0, 0), (0, 5, 0)])
def test_a_histogram_of_nothing_or_of_one_bin_can_be_drawn(counts: tuple[int, ...]) -> None:
    assert Tree.fromstring(histograms.histogram(Histogram((0.0, 1.0, 2.0, 3.0), counts, None)))


def test_a_distribution_of_one_value_can_be_drawn() -> None:
    drawing = histograms.distribution(Distribution("share", (0.5, 0.5), (9,), 0.5))
    assert "9 neurons" in drawing


def test_scree_shows_shares_and_none_is_no_chart_of_its_own() -> None:
    drawing = histograms.scree((0.8, 0.15, 0.05))
    (own,), (others,) = paths(drawing, "towards"), paths(drawing, "plain")
    assert heights(own)[0] / heights(others)[0] == pytest.approx(0.8 / 0.15, rel=0.01)
    assert "80%" in texts(drawing)


def test_heads_stand_by_layer_and_below_the_line_where_they_work_against() -> None:
    found = [Head(11, 1, -0.2), Head(10, 0, 0.5), Head(10, 1, 0.1), Head(11, 0, 0.6)]
    drawing = heads.heads(found)
    (up,), (down,) = paths(drawing, "towards"), paths(drawing, "against")
    assert np.array(heights(up)) / heights(up)[0] == pytest.approx([1, 0.2, 1.2], rel=0.01)
    assert heights(down)[0] < 0
    assert {"layer 10", "layer 11", "layer 11, head 0", "60%", "−20%"} <= set(texts(drawing))
    assert "the largest are layer 11 head 0 60%" in drawing
    assert Tree.fromstring(heads.heads([Head(10, 0, -1.0)]))
    assert Tree.fromstring(heads.heads([Head(10, 0, 0.0)]))


def test_a_ruler_says_score_interval_and_control() -> None:
    drawing = bars.ruler(Score(0.42, 0.31, 0.51, 0.03))
    assert "correlation 0.42, interval 0.31 to 0.51, control 0.03" in drawing
    dot = Tree.fromstring(drawing).find("circle")
    assert dot is not None
    assert float(dot.get("cx", "")) == pytest.approx(4 + 0.42 * 152, abs=0.01)
    negative = Tree.fromstring(bars.ruler(Score(-1.5, -2.0, 0.1))).find("circle")
    assert negative is not None
    assert float(negative.get("cx", "")) == pytest.approx(4)
    assert "control" not in bars.ruler(Score(0.1, 0.0, 0.2))


def test_the_curve_marks_its_layer_and_names_its_lines() -> None:
    found = made.layer_card().ablations
    drawing = curves.ablations(found, 0.623, 9)
    assert {"all", "large", "small", "whole model"} <= set(texts(drawing))
    assert len(paths(drawing, "series s0")) == 1
    assert "Layer 9:" in drawing
    alone = curves.ablations([Ablation(4, "all", 0.5, 0.5, 0.5)], None, 7)
    assert "Layer 4" in alone
    assert "here" not in alone


def test_hostile_names_stay_text_in_charts() -> None:
    bad = "<script>&\"'"
    drawing = curves.ablations([Ablation(4, bad, 0.5, 0.4, 0.6)], None, 4)
    assert bad in texts(drawing)
    assert Tree.fromstring(drawing).find("script") is None


def test_points_stand_where_they_are_with_y_upwards() -> None:
    found = [Point((6, 0), 0.0, 0.0, 0.1), Point((11, 1), 1.0, 0.75, 0.9), Point((8, 2), 0.5, 0.5)]
    drawing = points.neurons(found, made.LAYERS)
    assert paths(drawing, "hue0") == ["M0 1000h0"]
    assert paths(drawing, "hue9") == ["M1000 250h0"]
    assert paths(drawing, "step0") == ["M0 1000h0"]
    assert paths(drawing, "step4") == ["M1000 250h0"]
    assert paths(drawing, "step5") == ["M500 500h0"]
    unscored = points.neurons([Point((9, 0), 0.2, 0.2)], (9,))
    assert "by-score" not in unscored


def test_a_map_of_very_many_neurons_is_a_picture_and_stays_small() -> None:
    draw_from = Random(1)
    many = [Point((6 + n % 6, n), draw_from.random(), draw_from.random()) for n in range(30_000)]
    drawing = points.neurons([*many, Point((6, 0), 0.0, 0.0)], made.LAYERS)
    assert len(drawing) < 100_000
    found = next(Tree.fromstring(drawing).iter("image")).get("href", "").partition(",")[2]
    pixels = np.asarray(Image.open(io.BytesIO(b64decode(found))).convert("RGBA"))
    assert tuple(pixels[-1, 0]) == (*points.HUES[0], 255)
    assert {tuple(p) for p in pixels.reshape(-1, 4)} == {(0, 0, 0, 0)} | {
        (*points.HUES[points.hue(layer, made.LAYERS)], 255) for layer in made.LAYERS
    }


def test_the_style_has_the_same_colours() -> None:
    for name, colours in (("hue", points.HUES), ("step", (*points.STEPS, points.UNSCORED))):
        for number, (red, green, blue) in enumerate(colours):
            rule = f".{name}{number} {{ color: #{red:02x}{green:02x}{blue:02x}; }}"
            assert rule in style(), rule


def test_heat_is_a_picture_of_one_pixel_per_patch_in_two_colours() -> None:
    drawn = heat.heat_png(Heat(2, 3, bytes([128, 255, 1, 192, 64, 0]), 1.0))
    pixels = np.asarray(Image.open(io.BytesIO(drawn)).convert("RGBA"))
    assert pixels.shape == (2, 3, 4)
    assert pixels[0, 0, 3] == 0
    assert tuple(pixels[0, 1, :3]) == TOWARDS
    assert tuple(pixels[0, 2, :3]) == AGAINST
    assert pixels[0, 1, 3] == pixels[0, 2, 3] == pixels[1, 2, 3] == 217
    assert 90 < pixels[1, 0, 3] < 130
    assert tuple(pixels[1, 1, :3]) == AGAINST


@pytest.mark.parametrize(("rows", "values"), [(2, b"123"), (0, b"")])
def test_heat_of_a_wrong_size_is_refused(rows: int, values: bytes) -> None:
    with pytest.raises(ValueError, match=f"{rows} x 2 patches has {len(values)} values"):
        heat.heat_png(Heat(rows, 2, values, 1.0))
