"""A reviewer at a real browser: keys, undo, heatmap, notes, resuming, two windows, a server that goes away."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from clipneuron.attack.review import decisions as reviews
from clipneuron.attack.review.deck import Deck
from clipneuron.attack.review.server import Review, serve
from clipneuron.store.store import Run
from tests.browser import chromium
from tests.browser.chromium import Page
from tests.browser.web import serving
from tests.samples.attack_tables import KEYS, Shard, attack_run, colour, screened

pytestmark = [
    pytest.mark.environment,
    pytest.mark.slow,
    pytest.mark.skipif(chromium.find() is None, reason="no Chromium is installed here"),
]

SECOND = Shard("horse:automobile", "second-order")
RANDOM = Shard("horse:automobile", "random")
PIXEL = """(() => {
  const image = document.getElementById("picture"), canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
})()"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = attack_run(tmp_path / "store", {SECOND: [0.1, 0.2, -0.1, 0.3], RANDOM: [-0.1, 0.4, None]})
    seen = [(True, False), (True, True), (None, None), (False, False)]
    run.commit("screening", SECOND.name, {"screening": screened(SECOND, seen)})
    return run


@pytest.fixture
def review(run: Run) -> Iterator[Review]:
    with serve(run, KEYS, reviewer="ada") as served:
        yield served


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium.browser(tmp_path_factory.mktemp("profile")) as page:
        yield page


def visit(page: Page, review: Review, number: int = 0) -> None:
    page.open(review.url)
    shows(page, number)


def complaints(page: Page, review: Review) -> list[str]:
    """What this review's page complained about; one that was left may still miss its server."""
    return [problem for problem in page.problems if review.url in problem]


def shows(page: Page, number: int) -> None:
    """Waits until a picture is there and may be decided on."""
    page.until(f"card !== null && card.number === {number} && shown && !busy")


def decided(run: Run) -> dict[str, str]:
    said = reviews.decisions(run, KEYS.pictures, "ada")
    columns = (said[name].to_pylist() for name in ("picture", "decision"))
    return dict(zip(*columns, strict=True))


def test_keys_decide_and_the_next_picture_comes(page: Page, review: Review, run: Run) -> None:
    visit(page, review)
    for number, key in enumerate("k21"):
        page.press(key)
        shows(page, number + 1)
        page.until("document.getElementById('said').textContent.startsWith('Recorded')")
    assert page.text("#counted") == "3 of 4 pictures that fool the model decided"
    assert page.text("#counts") == "kept 1 · shows c2 1 · lacks c1 1"
    order = Deck.of(run, KEYS, "ada").pictures
    assert decided(run) == dict(zip(order[:3], ("keep", "shows-c2", "lacks-c1"), strict=True))
    assert complaints(page, review) == []


def test_the_picture_that_is_asked_about_is_the_one_that_is_shown(
    page: Page, review: Review, run: Run
) -> None:
    visit(page, review)
    order = Deck.of(run, KEYS, "ada").pictures
    for number, picture in enumerate(order):
        shows(page, number)
        assert tuple(page.value(PIXEL)) == colour(int(picture.rpartition("-")[2]))
        page.press("ArrowRight")
    assert page.text("#question") == "Does it show “horse” and no “automobile”?"
    assert page.text("#caption") == "A horse near thing 0."


def test_nothing_on_the_page_tells_the_method(page: Page, review: Review) -> None:
    visit(page, review)
    everything = page.value("document.documentElement.outerHTML + JSON.stringify(card)")
    assert "horse" in everything
    assert "second-order" not in everything
    assert "random" not in everything


def test_undo_takes_back_the_last_decisions_one_by_one(
    page: Page, review: Review, run: Run
) -> None:
    visit(page, review)
    for number, key in enumerate("k2"):
        page.press(key)
        shows(page, number + 1)
    for left in (1, 0):
        page.press("u")
        shows(page, left)
        assert len(decided(run)) == left
    assert page.text("#said") == "Taken back: this picture is undecided again."
    page.press("u")
    page.until("document.getElementById('trouble').textContent === 'There is nothing to undo.'")
    assert reviews.history(run, KEYS.pictures).num_rows == 4


def test_arrows_revisit_and_a_decision_may_be_changed(page: Page, review: Review, run: Run) -> None:
    visit(page, review)
    page.press("k")
    shows(page, 1)
    page.press("ArrowLeft")
    shows(page, 0)
    assert page.value("document.getElementById('keep').getAttribute('aria-pressed')") == "true"
    page.press("2")
    shows(page, 1)
    assert list(decided(run).values()) == ["shows-c2"]
    page.press("ArrowLeft")
    shows(page, 0)
    page.press("ArrowLeft")
    shows(page, 0)


def test_the_mouse_does_what_the_keys_do(page: Page, review: Review, run: Run) -> None:
    visit(page, review)
    page.click("#lacks")
    shows(page, 1)
    assert list(decided(run).values()) == ["lacks-c1"]
    page.click("#undo")
    shows(page, 0)
    assert decided(run) == {}


def test_the_keyboard_alone_reaches_a_button(page: Page, review: Review, run: Run) -> None:
    visit(page, review)
    for _ in range(2):
        page.press("Tab")
    assert page.value("document.activeElement.id") == "shows"
    page.press("Enter")
    shows(page, 1)
    assert list(decided(run).values()) == ["shows-c2"]


def test_the_heatmap_lies_over_the_picture_on_a_key(page: Page, review: Review) -> None:
    visit(page, review)
    page.press("h")
    page.until("document.getElementById('heat').naturalWidth > 0")
    assert not page.value("document.getElementById('heat').hidden")
    legend = " ".join(page.text("#legend").split())
    assert legend == "speaks for “automobile” speaks for “horse”"
    boxes = "['picture', 'heat'].map(id => JSON.stringify(document.getElementById(id).getBoundingClientRect()))"
    assert page.value(f"new Set({boxes}).size") == 1
    page.press("h")
    page.until("document.getElementById('heat').hidden")
    page.press("h")
    page.press("ArrowRight")
    shows(page, 1)
    assert page.value("document.getElementById('heat').hidden")
    assert complaints(page, review) == []


def test_a_suggestion_is_marked_as_one_and_is_not_taken_by_itself(
    page: Page, review: Review, run: Run
) -> None:
    visit(page, review)
    deck = Deck.of(run, KEYS, "ada")
    words = {
        "keep": "it shows “horse” and no “automobile”: keep.",
        "shows-c2": "it shows “automobile”: remove.",
        "lacks-c1": "it lacks “horse”: remove.",
    }
    seen = set()
    for number in range(len(deck)):
        shows(page, number)
        suggestion = deck.card(number).suggestion
        seen.add(suggestion)
        if suggestion:
            text = f"Suggestion only, by scene-truth: {words[suggestion]}"
            assert page.text("#suggestion") == text
        else:
            assert page.value("document.getElementById('suggestion').hidden")
        page.press("ArrowRight")
    assert seen == {"", "keep", "shows-c2", "lacks-c1"}
    assert decided(run) == {}


def test_a_note_is_typed_without_deciding_and_stored_with_the_decision(
    page: Page, review: Review, run: Run
) -> None:
    visit(page, review)
    page.press("n")
    for letter in "k21u":
        page.press(letter)
    assert page.value("document.getElementById('note').value") == "k21u"
    assert decided(run) == {}
    page.press("Enter")
    page.press("k")
    shows(page, 1)
    assert reviews.decisions(run, KEYS.pictures)["note"].to_pylist() == ["k21u"]
    assert page.value("document.getElementById('note').value") == ""


def test_a_page_that_is_loaded_again_goes_on_and_can_still_undo(
    page: Page, review: Review, run: Run
) -> None:
    visit(page, review)
    page.press("k")
    shows(page, 1)
    visit(page, review, 1)
    page.press("u")
    shows(page, 0)
    assert decided(run) == {}


def test_held_keys_decide_once(page: Page, review: Review, run: Run) -> None:
    visit(page, review)
    held = {"type": "keyDown", "key": "k", "windowsVirtualKeyCode": 75, "text": "k"}
    for repeat in (False, True, True, True):
        page.call("Input.dispatchKeyEvent", autoRepeat=repeat, **held)
        shows(page, 1)
    page.press("ArrowRight")
    shows(page, 2)
    assert len(decided(run)) == 1


def test_the_end_is_said_and_the_optional_part_before_it(page: Page, review: Review) -> None:
    visit(page, review)
    for number in range(4):
        page.press("k")
        shows(page, number + 1)
    assert "All pictures that fool the model are decided" in page.text("#done")
    assert page.text("#counted") == "0 of 2 pictures that do not fool it decided"
    page.press("k")
    shows(page, 5)
    page.press("k")
    page.until("card.decided === 6")
    assert page.text("#done").startswith("Every picture is decided.")


def test_captions_are_text_whatever_they_hold(page: Page, tmp_path: Path) -> None:
    shard = Shard("a <b>:<img src=x onerror=alert(1)>", "second-order")
    source = attack_run(tmp_path / "source", {shard: [0.1]})
    painted = source.read("pictures", "pictures").drop_columns(["caption"])
    caption = (
        "</p><script>document.title='bad'</script><img src=x onerror=\"document.title='bad'\">"
    )
    run = attack_run(tmp_path / "run", {})
    painted = painted.append_column("caption", pa.array([caption]))
    run.commit("pictures", shard.name, {"pictures": painted})
    run.commit("verdicts", shard.name, {"verdicts": source.read("verdicts", "verdicts")})
    with serve(run, KEYS, reviewer="ada") as served:
        visit(page, served)
        assert page.text("#caption") == caption
        assert "<img src=x" in page.text("#question")
        assert page.value("document.title") == "Review of adversarial pictures"
        assert page.value("document.images.length") == 2


def test_a_server_that_went_away_is_said_and_nothing_moves(page: Page, run: Run) -> None:
    with serve(run, KEYS, reviewer="ada") as served:
        visit(page, served)
    page.press("k")
    page.until("document.getElementById('trouble').textContent.includes('does not answer')")
    assert page.value("card.number") == 0
    assert decided(run) == {}


def test_another_page_cannot_decide_even_if_it_knows_the_address(
    page: Page, review: Review, run: Run, tmp_path: Path
) -> None:
    # A form needs no one's leave to be sent, and its one field reads as JSON: {"decision":"keep","note":"="}.
    field = """<input name='{"decision":"keep","note":"' value='"}'>"""
    form = f"<form method=post enctype=text/plain action='{review.url}cards/0'>{field}</form>"
    (tmp_path / "form.html").write_text(form)
    with serving(tmp_path) as site:
        page.open(f"{site}/form.html")
        page.value("document.forms[0].submit()")
        page.until("document.body && document.body.innerText.includes('from this page only')")
        assert page.value("location.href") == f"{review.url}cards/0"
        page.open(f"{site}/form.html")
        read = f"fetch('{review.url}').then(() => 'read', () => 'refused')"
        assert page.value(read) == "refused"
    assert reviews.history(run, KEYS.pictures).num_rows == 0


def test_nothing_is_asked_of_any_other_host(page: Page, review: Review) -> None:
    visit(page, review)
    page.press("h")
    page.until("document.getElementById('heat').naturalWidth > 0")
    asked = page.value("performance.getEntriesByType('resource').map(entry => entry.name)")
    assert len(asked) >= 4
    assert all(name.startswith(review.url) for name in asked)


def test_the_next_picture_is_read_while_this_one_is_looked_at(page: Page, review: Review) -> None:
    visit(page, review)
    asked = "performance.getEntriesByType('resource').map(entry => entry.name)"
    page.until(f"{asked}.some(name => name.endsWith('cards/1/picture.png'))")
    assert page.value("card.number") == 0


def test_a_narrow_window_needs_no_sideways_scrolling(page: Page, review: Review) -> None:
    page.call(
        "Emulation.setDeviceMetricsOverride",
        width=360,
        height=740,
        deviceScaleFactor=1,
        mobile=True,
    )
    visit(page, review)
    assert page.value("document.documentElement.scrollWidth") <= 360
    wider = "[...document.querySelectorAll('button')].filter(b => b.scrollWidth > b.clientWidth)"
    assert page.value(f"{wider}.map(b => b.id)") == []
    page.call("Emulation.clearDeviceMetricsOverride")
