"""A card that travels alone: one HTML file, one PNG."""

import base64
import hashlib
import io
import warnings
from dataclasses import replace

import pytest
from PIL import Image

from clipneuron.atlas.cards import Described, NeuronCard, Word
from clipneuron.atlas.html import letters
from clipneuron.atlas.html.drawing import card_png
from clipneuron.atlas.html.single import single
from tests.samples import atlas_cards as made
from tests.samples.html import Page


def test_a_file_holds_all_that_it_shows() -> None:
    first, second = made.neuron_card(), replace(made.neuron_card(), neuron=392)
    html = single([first, second], made.SITE, made.neuron_tiles(first))
    found = Page(html)
    assert all(source.startswith("data:image/") for source in found.values("src"))
    links = {link for link in found.values("href") if link != "data:,"}
    assert links == {"#neuron-9-391", "#neuron-9-392"}
    assert len(found.values("id")) == len(set(found.values("id")))
    assert found.all("script") == found.all("link")[1:] == []
    assert "2 neurons of ViT-B-32" in found.text


def test_its_style_is_the_only_one_that_its_policy_allows() -> None:
    html = single([made.neuron_card()], made.SITE, {})
    css = html.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    policy = next(m["content"] for m in Page(html).all("meta") if "http-equiv" in m)
    assert f"style-src 'sha256-{digest}'" in policy
    assert "script-src" not in policy


def test_a_picture_that_is_not_at_hand_is_said_to_be_missing() -> None:
    found = Page(single([made.neuron_card()], made.SITE, {}))
    assert [image for image in found.all("img") if image.get("class") != "heat"] == []
    assert "it could not be read" in found.text


def test_no_neuron_makes_no_file() -> None:
    with pytest.raises(ValueError, match="at least one neuron"):
        single([], made.SITE, {})


def test_a_card_as_png_is_the_same_twice_and_as_wide_as_other_charts() -> None:
    card = made.neuron_card()
    tiles = made.neuron_tiles(card)
    drawn = card_png(card, made.SITE, tiles)
    assert drawn == card_png(card, made.SITE, tiles)
    assert Image.open(io.BytesIO(drawn)).size[0] == 1000


def test_a_bare_neuron_and_hostile_words_can_be_drawn() -> None:
    assert card_png(NeuronCard(9, 1), made.SITE, {}).startswith(b"\x89PNG")
    words = (Word("$\\frac{1}$ $x", 0.5), Word(made.HOSTILE, -0.5))
    assert card_png(NeuronCard(9, 1, pools=(Described("a $", "b", words),)), made.SITE, {})


def saying(*words: str) -> NeuronCard:
    return NeuronCard(9, 1, pools=(Described("a", "b", tuple(Word(word, 0.5) for word in words)),))


def test_letters_that_no_font_has_are_named_once_and_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """CJK, which matplotlib's own font lacks, on a machine without another one."""
    monkeypatch.setattr(letters, "_others", lambda: iter(()))
    with pytest.warns(
        UserWarning, match="no font of this machine has 字船, which are boxes"
    ) as told:
        card_png(saying("船", "船 ship", "字"), made.SITE, {})
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        card_png(saying("ship", "émigré", "корабль", "πλοίο"), made.SITE, {})


def test_letters_are_taken_from_another_font_that_has_them() -> None:
    """A letter that comes with matplotlib, in a font that is not its first."""
    found = letters.fonts_for("\u24b6 ship")
    assert found.families[0] == letters.OWN
    assert len(found.families) == 2
    assert found.missing == ""
    assert letters.fonts_for("ship") == ((letters.OWN,), "")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert card_png(saying("\u24b6"), made.SITE, {})
