"""A visitor of an atlas at a real browser: search, keys, tables, map, dark, narrow, without scripts, hostile data."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from clipneuron.atlas import addresses
from clipneuron.atlas.finding import search
from tests.browser import axe, chromium
from tests.browser.chromium import Page
from tests.browser.web import serving
from tests.samples import atlas_site
from tests.samples.atlas_site import PAIR, SCRIPT

pytestmark = [
    pytest.mark.environment,
    pytest.mark.slow,
    pytest.mark.skipif(chromium.find() is None, reason="no Chromium is installed here"),
]

KINDS = {
    "front": addresses.FRONT,
    "layer": addresses.layer(9),
    "neuron": addresses.neuron(9, 4),
    "word": addresses.word(SCRIPT),
    "pair": addresses.pair(PAIR),
    "picture": addresses.picture("p0"),
    "painted": addresses.picture("p3"),
    "map": addresses.MAP,
}
FIRST_VIEW = 300_000
"""Bytes that a page may need before anybody has done anything."""
REQUESTS = 40
SEEN = "[...document.images].every(i => i.getBoundingClientRect().top > innerHeight || i.complete)"
"""Whether the pictures that are in sight have come."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return atlas_site.write(tmp_path_factory.mktemp("web") / "some where" / "atlas")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium.browser(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture(scope="module", params=["folder", "web"])
def root(request: pytest.FixtureRequest, site: Path) -> Iterator[str]:
    """Where the site is: a folder, or below a prefix of a web server."""
    if request.param == "folder":
        yield f"{site.as_uri()}/"
    else:
        with serving(site.parents[1]) as url:
            yield f"{url}/some%20where/atlas/"


@pytest.fixture(scope="module")
def home(site: Path) -> str:
    return f"{site.as_uri()}/"


@pytest.fixture(autouse=True)
def quiet(request: pytest.FixtureRequest) -> Iterator[None]:
    """No page may complain of anything, nor leave the browser other than it was."""
    yield
    if "page" not in request.fixturenames:
        return
    page: Page = request.getfixturevalue("page")
    page.call("Emulation.setScriptExecutionDisabled", value=False)
    page.call("Emulation.setEmulatedMedia", features=[])
    page.call("Emulation.clearDeviceMetricsOverride")
    problems, page.problems[:] = list(page.problems), []
    assert problems == []


def look_for(page: Page, query: str) -> list[str]:
    """What the search shows for a query: names and what they are."""
    page.press("/")
    page.until("document.activeElement.id === 'query'")
    page.value("document.getElementById('query').select()")
    page.value("document.getElementById('found').hidden = true")
    page.type(query)
    page.until("!document.getElementById('found').hidden")
    found: list[str] = page.value(
        "[...document.querySelectorAll('#found-list li > a')].map(a => a.textContent)"
    )
    return found


def here(page: Page, root: str) -> str:
    return str(page.value("location.href")).removeprefix(root).partition("?")[0]


def test_a_visitor_goes_from_a_search_to_words_neurons_pictures_and_pairs(
    page: Page, root: str
) -> None:
    page.open(root + addresses.FRONT)
    assert look_for(page, "shi")[0].startswith("ship word")
    page.press("ArrowDown")
    with page.leaving():
        page.press("Enter")
    assert here(page, root) == addresses.word("ship")
    with page.leaving():
        page.click(f"main a[href$='{addresses.neuron(9, 4)}']")
    assert here(page, root) == addresses.neuron(9, 4)
    for key, neuron in (("ArrowRight", 5), ("ArrowLeft", 4)):
        with page.leaving():
            page.press(key)
        assert here(page, root) == addresses.neuron(9, neuron)
    for kind in ("picture", "pair"):
        page.open(root + addresses.neuron(9, 4))
        with page.leaving():
            page.click(f"main a[href*='/{kind}/']")
        assert here(page, root).startswith(f"{kind}/")
    page.open(root + addresses.neuron(9, 4))
    with page.leaving():
        page.press("u")
    assert here(page, root) == addresses.layer(9)


def test_pictures_and_data_load_wherever_the_site_is(page: Page, root: str) -> None:
    page.open(root + addresses.neuron(9, 4))
    broken = "[...document.images].filter(i => { i.loading = 'eager'; return !(i.complete && i.naturalWidth); }).length"
    page.until(f"{broken} === 0")
    assert page.value("document.images.length") > 4
    look_for(page, "9:4")
    page.until("document.querySelector('#found-list a').textContent.startsWith('9:4 ship, ')")


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("9:4", "9:4"),
        ("9/12", "9:12"),
        ("L9 N12", "9:12"),
        ("layer 3 neuron 2", "3:2"),
        ("layer 9", "Layer 9"),
        ("SHIP", "ship"),
        ("emigre", "émigré"),
        ("Émi", "émigré"),
        ("thing 19", "thing 19"),
        ("19 thi", "thing 19"),
        ("automobile", PAIR),
        ("document", SCRIPT),
        ("straße", "Straße"),
        ("istan", "İstanbul"),
        ("ΣΊΣΥΦΟΣ", "Σίσυφος"),
        ("船", "船"),
        ("🚢", "🚢"),
        ("!?", "!?"),
    ],
)
def test_the_search_finds(page: Page, home: str, query: str, first: str) -> None:
    if not here(page, home).startswith("map"):
        page.open(home + addresses.MAP)
    assert look_for(page, query)[0].startswith(f"{first} ")


def test_a_search_says_how_many_and_goes_on_with_numbers(page: Page, home: str) -> None:
    page.open(home + addresses.MAP)
    assert [name.split()[0] for name in look_for(page, "9:1")] == [
        "9:1",
        "9:10",
        "9:11",
        "9:12",
        "9:13",
        "9:14",
    ]
    assert len(look_for(page, "thing")) == 12
    assert page.text("#found-said") == "The first 12 results"
    for query in ("9:130", "4:1", "zzz", "ship zzz"):
        assert look_for(page, query) == []
        assert page.text("#found-said") == "Nothing found"
    page.press("Escape")
    page.until(
        "document.getElementById('found').hidden && document.activeElement === document.body"
    )


@pytest.mark.parametrize("content", [None, b"clipneuronAtlas('search', {\"no", b""])
def test_an_index_that_cannot_be_read_is_said(
    page: Page, site: Path, tmp_path: Path, content: bytes | None
) -> None:
    for address in (addresses.FRONT, addresses.SCRIPT, addresses.STYLE):
        atlas_site.put(tmp_path, address, (site / address).read_bytes())
    if content is not None:
        atlas_site.put(tmp_path, addresses.chunk(search.HEAD), content)
    page.open(f"{tmp_path.as_uri()}/{addresses.FRONT}")
    assert look_for(page, "ship") == []
    assert page.text("#found-said") == "The search does not work: data/search.js cannot be read"
    page.problems.clear()  # pictures that are not there, and what is broken


@pytest.mark.parametrize("layer", [3, 9])
def test_tables_are_sorted_by_any_column_and_what_is_missing_comes_last(
    page: Page, home: str, layer: int
) -> None:
    page.open(home + addresses.layer(layer))
    count = atlas_site.LAYERS[layer]
    headers = page.value(
        "[...document.querySelectorAll('th[data-sort]')].map(th => th.textContent.trim())"
    )
    column = headers.index("score")
    button = f"th[data-sort]:nth-child({column + 1}) button"
    for direction in ("descending", "ascending"):
        page.click(button)
        page.until(
            f"document.querySelectorAll('th[data-sort]')[{column}].ariaSort === '{direction}'"
        )
        cells = page.value(
            f"[...document.querySelectorAll('tbody tr')].map(r => r.cells[{column}].textContent)"
        )
        assert len(cells) == count
        numbers = [float(cell) for cell in cells if cell.strip(" –")]
        assert cells[len(numbers) :] == cells[-1:] * (count - len(numbers))
        assert numbers == sorted(numbers, reverse=direction == "descending")
        assert len(numbers) == sum(n % 5 != 0 for n in range(count))
    first = page.value("document.querySelector('tbody a').href")
    with page.leaving():
        page.click("tbody a")
    assert page.value("location.href") == first


def test_the_map_names_the_nearest_neuron_and_leads_to_it(page: Page, home: str) -> None:
    page.open(home + addresses.MAP)
    picture = "document.querySelector('.js-plane')"
    page.value(f"{picture}.scrollIntoView({{block: 'center'}})")
    box = page.value(
        f"(r => [r.left, r.top, r.width, r.height])({picture}.getBoundingClientRect())"
    )
    point = atlas_site.map_card().points[64]
    page.move(box[0] + box[2] * point.x + 2, box[1] + box[3] * (1 - point.y) - 2)
    layer, neuron = point.neuron
    page.until(f"document.getElementById('map-said').textContent.startsWith('{layer}:{neuron} ')")
    assert f"thing {neuron}" in page.text("#map-said")
    with page.leaving():
        page.click(".js-point")
    assert here(page, home) == addresses.neuron(layer, neuron)


def test_dark_is_the_systems_or_the_visitors_choice_and_is_remembered(
    page: Page, home: str
) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    page.open(home + addresses.FRONT)
    light = page.value(colour)
    page.call(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}]
    )
    page.until(f"{colour} !== {json.dumps(light)}")
    dark = page.value(colour)
    page.until("document.getElementById('theme').textContent === 'Light'")
    page.click("#theme")
    page.until(f"{colour} === {json.dumps(light)}")
    page.open(home + addresses.neuron(9, 4))
    assert page.value(colour) == light
    page.click("#theme")
    page.until(f"{colour} === {json.dumps(dark)}")
    page.value("localStorage.clear()")


@pytest.mark.parametrize("kind", KINDS)
def test_pages_fit_on_a_phone(page: Page, home: str, kind: str) -> None:
    page.call(
        "Emulation.setDeviceMetricsOverride",
        width=360,
        height=740,
        deviceScaleFactor=1,
        mobile=True,
    )
    page.open(home + KINDS[kind])
    assert page.value("document.documentElement.scrollWidth") <= 360
    assert page.value("document.getElementById('query').getBoundingClientRect().right") <= 360


@pytest.mark.parametrize("kind", KINDS)
def test_pages_work_without_scripts(page: Page, home: str, kind: str) -> None:
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    page.open(home + KINDS[kind])
    seen = "[...document.querySelectorAll('button, input[type=search], .keys')].filter(e => e.offsetParent).length"
    assert page.value(seen) == 0
    with page.leaving():
        page.click("main a[href]:not([href^='#'])")
    assert here(page, home) != KINDS[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_data_are_text_whatever_they_say(page: Page, home: str, kind: str) -> None:
    page.open(home + KINDS[kind])
    assert page.value("document.title") != "obeyed"
    assert page.value("document.scripts.length") == 1
    assert page.value("[...document.querySelectorAll('*')].every(e => !e.hasAttribute('onerror'))")
    if kind not in ("map", "front"):
        assert "<script>" in page.value("document.body.textContent") or kind == "layer"


def test_a_page_needs_few_bytes_and_requests_before_anything_is_done(
    page: Page, site: Path
) -> None:
    sums = """(e => [e.length, e.reduce((sum, one) => sum + one.transferSize, 0)])(
        ["navigation", "resource"].flatMap(kind => performance.getEntriesByType(kind)))"""
    with serving(site) as url:
        for address in KINDS.values():
            page.open(f"{url}/{address}?{address}")
            page.until(SEEN)
            requests, size = page.value(sums)
            assert size > 1000
            assert (requests <= REQUESTS, size <= FIRST_VIEW) == (True, True), (
                address,
                requests,
                size,
            )


def test_every_link_leads_somewhere_and_every_page_is_reached_without_scripts(site: Path) -> None:
    assert atlas_site.broken(site) == []
    assert atlas_site.unreached(site) == []


def test_broken_links_are_noticed(tmp_path: Path) -> None:
    atlas_site.put(
        tmp_path,
        "a/index.html",
        b"<a href='../b.html#x'></a><img src=no.webp><i id=k></i><i id=k></i>",
    )
    atlas_site.put(
        tmp_path,
        "b.html",
        b"<a href='a/'></a><a href='../../etc'></a><a href='http://x.example'></a>",
    )
    assert atlas_site.broken(tmp_path) == [
        "a/index.html: id k twice",
        "a/index.html: ../b.html#x has no such place",
        "a/index.html: no.webp leads nowhere",
        "b.html: ../../etc leads nowhere",
        "b.html: a/ leads nowhere",
        "b.html: http://x.example leads nowhere",
    ]
    assert atlas_site.unreached(tmp_path, "b.html") == ["a/index.html"]


def test_no_page_has_a_script_or_a_style_of_its_own(site: Path) -> None:
    for address in KINDS.values():
        text = (site / address).read_text("utf-8")
        assert (
            re.findall(
                r"<script(?! src=\"[./]*static/atlas\.js\"></script>)|<style|<[^>]* (?:style|on\w+)=",
                text,
            )
            == []
        )
        assert "Content-Security-Policy" in text


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> str:
    try:
        return axe.script(tmp_path_factory.mktemp("axe"))
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"{axe.PACKAGE} cannot be fetched with npm: {error}")


def test_axe_has_no_serious_findings(page: Page, home: str, checker: str) -> None:
    page.call("Page.setBypassCSP", enabled=True)  # axe tries inline styles out
    found = []
    for kind, address in KINDS.items():
        page.open(home + address)
        found += [(kind, *one) for one in axe.findings(page, checker)]
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    page.call("Emulation.setEmulatedMedia", features=dark)
    for kind in ("front", "layer", "neuron"):
        page.open(home + KINDS[kind])
        found += [(kind, "dark", *one) for one in axe.findings(page, checker, ["color-contrast"])]
    page.call("Page.setBypassCSP", enabled=False)
    assert found == []
