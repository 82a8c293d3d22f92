"""What the atlas's pages do without a script: heat, colours, phones, paper; a file of its own; a notebook."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from clipneuron.atlas.cards import Described, Word
from clipneuron.atlas.html import pages
from clipneuron.atlas.html.showing import NeuronView
from tests.browser import chromium
from tests.browser.chromium import Page
from tests.samples import atlas_cards as made

pytestmark = [
    pytest.mark.environment,
    pytest.mark.slow,
    pytest.mark.skipif(chromium.find() is None, reason="no Chromium is installed here"),
]

SHOWN = """[...document.querySelectorAll('{}')].map(element => getComputedStyle(element))
  .filter(style => style.display !== 'none' && style.opacity !== '0').length"""
REDUCED = {"name": "prefers-reduced-motion", "value": "reduce"}
SCHEME = {"name": "prefers-color-scheme"}
PICTURES = "[...document.images]"
EAGER = f"{PICTURES}.forEach(image => image.loading = 'eager')"
"""Pictures far below the window wait until one scrolls; from where on depends on the browser's version."""
LONG = "d" * 90 + " " + "c" * 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pages of all kinds, one with texts that are too long for a phone, and their style; pictures are not there."""
    folder = tmp_path_factory.mktemp("site")
    long = (Described(LONG, LONG, (Word(LONG, 1.0), Word(made.HOSTILE, -1.0))),)
    cards = made.all_cards() | {
        "long": replace(made.neuron_card(), neuron=7, pools=long, numbers=((LONG, LONG),)),
    }
    for card in cards.values():
        path = folder / pages.address(card)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(pages.page(card, made.SITE), encoding="utf-8")
    (folder / "static").mkdir()
    (folder / "static" / "atlas.css").write_text(pages.style(), encoding="utf-8")
    (folder / "static" / "atlas.js").write_text("", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium.browser(tmp_path_factory.mktemp("profile")) as page:
        yield page


def visit(page: Page, folder: Path, kind: str = "neuron") -> None:
    page.open(f"file://{folder / pages.address(made.all_cards()[kind])}")


def shown(page: Page, selector: str) -> int:
    """How many of these elements people see."""
    return int(page.value(SHOWN.format(selector)))


def test_heat_is_switched_off_and_on_without_a_script(page: Page, folder: Path) -> None:
    page.call("Emulation.setEmulatedMedia", features=[REDUCED])
    visit(page, folder)
    heats = shown(page, ".heat")
    assert heats == 19
    page.click("#heat")
    assert shown(page, ".heat") == 0
    page.click("#heat")
    assert shown(page, ".heat") == heats


def test_the_map_changes_its_colours_without_a_script(page: Page, folder: Path) -> None:
    visit(page, folder, "map")
    assert (shown(page, "svg .by-layer"), shown(page, "svg .by-score")) == (1, 0)
    page.click("[value=score]")
    assert (shown(page, "svg .by-layer"), shown(page, "svg .by-score")) == (0, 1)
    assert shown(page, ".key.by-score") == 1


def test_dark_follows_the_system_and_the_button_overrules_it(page: Page, folder: Path) -> None:
    visit(page, folder)
    ground = "getComputedStyle(document.body).backgroundColor"
    page.call("Emulation.setEmulatedMedia", features=[SCHEME | {"value": "light"}])
    light = page.value(ground)
    page.call("Emulation.setEmulatedMedia", features=[SCHEME | {"value": "dark"}])
    dark = page.value(ground)
    assert dark != light
    page.value("document.documentElement.dataset.theme = 'light'")
    assert page.value(ground) == light
    page.call("Emulation.setEmulatedMedia", features=[SCHEME | {"value": "light"}])
    page.value("document.documentElement.dataset.theme = 'dark'")
    assert page.value(ground) == dark


def test_no_page_of_a_phone_scrolls_sideways(page: Page, folder: Path) -> None:
    page.call(
        "Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=1, mobile=True
    )  # fmt: skip
    wide = {}
    for path in sorted(folder.rglob("index.html")):
        page.open(f"file://{path}")
        wide[path.relative_to(folder).as_posix()] = page.value(
            "document.documentElement.scrollWidth"
        )
    page.call("Emulation.clearDeviceMetricsOverride")
    assert {name: width for name, width in wide.items() if width > 360} == {}


def test_paper_has_no_navigation_and_is_white(page: Page, folder: Path) -> None:
    visit(page, folder)
    page.call("Emulation.setEmulatedMedia", media="print", features=[SCHEME | {"value": "dark"}])
    assert shown(page, ".top, .turn, .switch") == 0
    assert page.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.call("Emulation.setEmulatedMedia", media="", features=[])


def test_a_file_of_its_own_has_style_pictures_and_no_complaint(page: Page, tmp_path: Path) -> None:
    card = made.neuron_card()
    view = NeuronView(card, made.SITE, made.neuron_tiles(card))
    page.problems.clear()
    page.open(f"file://{view.save(tmp_path / 'card.html')}")
    page.value(EAGER)
    page.until(f"{PICTURES}.every(image => image.complete)")
    assert page.value(f"{PICTURES}.length") > 20
    assert page.value(f"{PICTURES}.every(image => image.naturalWidth > 0)")
    assert page.value("getComputedStyle(document.querySelector('.card')).display") == "grid"
    page.click("#heat")
    page.until(f"{SHOWN.format('.heat')} === 0")
    assert page.problems == []


def test_a_notebook_shows_the_card_in_its_frame(page: Page, tmp_path: Path) -> None:
    card = made.neuron_card()
    view = NeuronView(card, made.SITE, made.neuron_tiles(card))
    (tmp_path / "notebook.html").write_text(
        f"<!doctype html><meta charset=utf-8><body>{view._repr_html_()}</body>"
    )
    page.problems.clear()
    page.open(f"file://{tmp_path / 'notebook.html'}")
    assert page.value("document.querySelector('iframe').getBoundingClientRect().height") == 860
    assert page.value("document.querySelector('style') === null")
    assert page.problems == []
