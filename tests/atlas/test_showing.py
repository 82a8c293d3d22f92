"""A card in a notebook: in a frame of its own, and written to a file."""

from dataclasses import replace
from pathlib import Path

import pytest

from clipneuron.atlas.cards import Described, Word
from clipneuron.atlas.html.showing import NeuronView
from tests.samples import atlas_cards as made
from tests.samples.html import Page


@pytest.fixture
def view() -> NeuronView:
    card = made.neuron_card()
    return NeuronView(card, made.SITE, made.neuron_tiles(card))


def test_a_notebook_shows_the_card_in_a_frame_that_runs_no_script(view: NeuronView) -> None:
    (frame,) = Page(view._repr_html_()).all("iframe")
    assert frame["sandbox"] == ""
    assert frame["srcdoc"] == view.html
    assert frame["title"] == "Neuron 9:391"


def test_a_text_cannot_leave_its_frame(view: NeuronView) -> None:
    pools = (Described('"></iframe><script>', "x", (Word(made.HOSTILE, 1.0),)),)
    bad = replace(view, card=replace(view.card, pools=pools))
    found = Page(bad._repr_html_())
    assert [tag for tag, _ in found.elements] == ["iframe"]
    assert "&lt;/iframe&gt;&lt;script&gt;" in found.elements[0][1]["srcdoc"]


def test_it_is_written_by_the_ending_of_the_name(view: NeuronView, tmp_path: Path) -> None:
    assert view.save(tmp_path / "card.html").read_text(encoding="utf-8") == view.html
    assert view.save(str(tmp_path / "card.PNG")).read_bytes() == view.png
    with pytest.raises(ValueError, match=r"as \.html or \.png, not as '\.pdf'"):
        view.save(tmp_path / "card.pdf")
    with pytest.raises(ValueError, match="a file without an ending"):
        view.save(tmp_path / "card")


def test_printed_it_is_a_sentence(view: NeuronView) -> None:
    assert str(view).startswith("Neuron 9:391. Writes towards “ship”")
    assert len(repr(view)) < 300
