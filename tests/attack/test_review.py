"""The review's server: blind to the method, resumable, deaf to other pages, and honest about what it recorded."""

import http.client
import io
import json
import socket
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from clipneuron.attack.review import decisions as reviews
from clipneuron.attack.review import drawing
from clipneuron.attack.review.deck import Deck, ReviewKeys
from clipneuron.attack.review.server import Review, serve
from clipneuron.reports.drawing import AGAINST, TOWARDS
from clipneuron.store.errors import StoreError
from clipneuron.store.store import Run
from tests.samples.attack_tables import KEYS, Shard, attack_run, colour, image, judged, screened

SECOND = Shard("horse:automobile", "second-order")
RANDOM = Shard("horse:automobile", "random")
MARGINS = {SECOND: [0.1, -0.1, 0.2, None, 0.3], RANDOM: [-0.1, -0.2, 0.4]}
"""Four of seven pictures fool the model."""


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.body)


def ask(
    review: Review, path: str, said: object = None, headers: dict[str, str] | None = None
) -> Answer:
    """A GET, or a POST as the page sends it; `headers` replace its own."""
    parts = urlsplit(review.url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
    own = {"Origin": f"http://{parts.netloc}", "Content-Type": "application/json"} if said else {}
    body = json.dumps(said) if said else None
    address = path if path.startswith("/") else parts.path + path
    try:
        connection.request("POST" if said else "GET", address, body, own | (headers or {}))
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return attack_run(tmp_path, MARGINS)


@pytest.fixture
def review(run: Run) -> Iterator[Review]:
    with serve(run, KEYS, reviewer="ada") as served:
        yield served


def cards(review: Review) -> list[dict[str, Any]]:
    count = ask(review, "cards/0").json["count"]
    return [ask(review, f"cards/{number}").json for number in range(count)]


def test_fooling_pictures_come_first_and_failed_ones_do_not_come(review: Review) -> None:
    fooled = [card["fooled"] for card in cards(review)]
    assert fooled == [True] * 4 + [False] * 3
    assert cards(review)[0]["fooling"] == 4


def test_a_card_tells_the_pair_and_the_caption_but_not_the_method(review: Review) -> None:
    card = cards(review)[0]
    assert (card["c1"], card["c2"]) == ("horse", "automobile")
    assert card["caption"] == "A horse near thing 0."
    answers = [ask(review, p) for p in ("", "cards/0", "cards/0/picture.png", "next")]
    for answer in answers:
        assert answer.status == 200
        everything = answer.body + str(answer.headers).encode()
        assert not any(word in everything for word in (b"second-order", b"random"))


def test_pictures_are_shown_as_painted_without_their_metadata(run: Run, review: Review) -> None:
    deck = Deck.of(run, KEYS, "ada")
    for number in range(len(deck)):
        shown = Image.open(io.BytesIO(ask(review, f"cards/{number}/picture.png").body))
        shown.load()
        place = int(deck.card(number).picture.rpartition("-")[2])
        assert (shown.size, shown.getpixel((5, 5))) == ((64, 64), colour(place))
        assert shown.info == {}


def test_reviewers_see_own_orders_that_stay(run: Run) -> None:
    margins = {SECOND: [0.1] * 20, RANDOM: [0.1] * 20}
    big = attack_run(run.objects.location("other"), margins)
    ada, again, alan = (Deck.of(big, KEYS, name).pictures for name in ("ada", "ada", "alan"))
    assert ada == again
    assert ada != alan
    assert sorted(ada) == sorted(alan)
    # Mixed: methods do not come in two blocks.
    methods = [picture.split("/")[1] for picture in ada]
    assert sum(a != b for a, b in pairwise(methods)) > 5


def test_a_decision_is_recorded_before_it_is_answered(run: Run, review: Review) -> None:
    answer = ask(review, "cards/2", {"decision": "shows-c2", "note": "a wheel"})
    assert answer.status == 200
    assert (answer.json["decision"], answer.json["note"]) == ("shows-c2", "a wheel")
    assert answer.json["fooling_decided"] == 1
    assert answer.json["decisions"] == {"keep": 0, "shows-c2": 1, "lacks-c1": 0}
    [row] = reviews.decisions(run, KEYS.pictures).to_pylist()
    assert row["picture"] == Deck.of(run, KEYS, "ada").pictures[2]
    assert (row["decision"], row["reviewer"], row["note"]) == ("shows-c2", "ada", "a wheel")


def test_undone_is_undecided_and_a_row(run: Run, review: Review) -> None:
    ask(review, "cards/2", {"decision": "keep"})
    answer = ask(review, "cards/2", {"decision": "undone"})
    assert (answer.json["decision"], answer.json["decided"]) == ("", 0)
    assert reviews.history(run, KEYS.pictures)["decision"].to_pylist() == ["keep", "undone"]


def test_a_review_resumes_where_its_reviewer_was(run: Run) -> None:
    with serve(run, KEYS, reviewer="ada") as first:
        assert ask(first, "next").json == {"number": 0}
        for number in (0, 1):
            ask(first, f"cards/{number}", {"decision": "keep", "note": f"n{number}"})
    with serve(run, KEYS, reviewer="ada") as second:
        assert ask(second, "next").json == {"number": 2}
        assert ask(second, "cards/1").json["note"] == "n1"
        assert ask(second, "cards/1").json["decided"] == 2
    with serve(run, KEYS, reviewer="alan") as other:
        assert ask(other, "next").json == {"number": 0}


def test_what_was_skipped_among_the_fooling_ones_is_offered_before_the_others(
    review: Review,
) -> None:
    for number in (1, 2, 3):
        ask(review, f"cards/{number}", {"decision": "keep"})
    assert ask(review, "next?after=3").json == {"number": 0}
    ask(review, "cards/0", {"decision": "keep"})
    assert ask(review, "next?after=0").json == {"number": 4}
    for number in (4, 6):
        ask(review, f"cards/{number}", {"decision": "keep"})
    assert ask(review, "next?after=6").json == {"number": 5}
    ask(review, "cards/5", {"decision": "keep"})
    assert ask(review, "next?after=5").json == {"number": None}


@pytest.mark.parametrize(
    ("seen", "suggestion"),
    [
        ((True, False), "keep"),
        ((True, True), "shows-c2"),
        ((None, True), "shows-c2"),
        ((False, False), "lacks-c1"),
        ((False, None), "lacks-c1"),
        ((True, None), ""),
        ((None, False), ""),
    ],
)
def test_suggestions_follow_the_screening(tmp_path: Path, seen, suggestion: str) -> None:
    run = attack_run(tmp_path, {SECOND: [0.1, 0.1]})
    assert Deck.of(run, KEYS, "ada").card(0).suggestion == ""
    run.commit("screening", SECOND.name, {"screening": screened(SECOND, [seen, seen])})
    card = Deck.of(run, KEYS, "ada").card(0)
    assert (card.suggestion, card.by) == (suggestion, "scene-truth" if suggestion else "")


def test_pictures_without_a_verdict_wait_and_are_counted(tmp_path: Path) -> None:
    run = attack_run(tmp_path, {SECOND: [0.1]})
    late = attack_run(tmp_path / "late", {RANDOM: [0.1, 0.2, None]})
    run.commit("pictures", RANDOM.name, {"pictures": late.read("pictures", "pictures")})
    deck = Deck.of(run, KEYS, "ada")
    assert (len(deck), deck.left_out) == (1, 2)


def test_a_run_without_judged_pictures_has_no_review(tmp_path: Path) -> None:
    run = attack_run(tmp_path, {SECOND: [None]})
    with pytest.raises(ValueError, match="no picture with a verdict"):
        serve(run, KEYS, reviewer="ada")
    with pytest.raises(StoreError, match="committed nothing"):
        serve(run, ReviewKeys("pictures", "absent"), reviewer="ada")


def test_the_heatmap_lies_over_the_picture_in_two_colours(review: Review) -> None:
    answer = ask(review, "cards/0/heatmap.png")
    assert answer.headers["Content-Type"] == "image/png"
    heat = Image.open(io.BytesIO(answer.body))
    assert heat.mode == "RGBA"
    upper, lower = heat.getpixel((190, 10)), heat.getpixel((190, heat.height - 10))
    assert upper == (*AGAINST, 204)
    assert lower == (*TOWARDS, 204)


def test_the_heatmap_covers_the_square_that_the_model_sees() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (200, 100)).save(buffer, "PNG")
    heat = Image.open(io.BytesIO(drawing.overlay(np.ones(4, np.float32), buffer.getvalue())))
    assert heat.width == 2 * heat.height
    row = [heat.getpixel((x, 100))[3] > 0 for x in range(heat.width)]
    assert (row.index(True), sum(row)) == (heat.height // 2, heat.height)


def test_a_heatmap_that_is_no_square_is_refused() -> None:
    picture = image(SECOND, 0)
    for patches in (0, 5):
        with pytest.raises(ValueError, match=f"{patches} patches is no square"):
            drawing.overlay(np.ones(patches, np.float32), picture)
    assert drawing.overlay(np.zeros(4, np.float32), picture)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"decision": "maybe"}, "no decision"),
        ({"decision": ["keep"]}, "no decision"),
        ({"note": "x"}, "no decision"),
        ({"decision": "keep", "note": "x" * 2001}, "at most 2000"),
        ({"decision": "keep", "note": 3}, "a note is a text"),
        (["keep"], "is an object"),
    ],
)
def test_what_is_no_decision_is_refused_with_a_reason(
    run: Run, review: Review, said: object, why: str
) -> None:
    answer = ask(review, "cards/0", said)
    assert answer.status == 400
    assert why in answer.json["error"]
    assert reviews.history(run, KEYS.pictures).num_rows == 0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost"}, 403),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Length": "70000"}, 413),
    ],
)
def test_other_pages_cannot_decide(
    run: Run, review: Review, headers: dict[str, str], status: int
) -> None:
    answer = ask(review, "cards/0", {"decision": "keep"}, headers)
    assert answer.status == status
    assert answer.headers["Connection"] == "close"
    assert reviews.history(run, KEYS.pictures).num_rows == 0


def test_a_length_that_is_no_number_ends_the_connection(run: Run, review: Review) -> None:
    parts = urlsplit(review.url)
    lines = (
        f"POST {parts.path}cards/0 HTTP/1.1",
        f"Host: {parts.netloc}",
        f"Origin: http://{parts.netloc}",
        "Content-Type: application/json",
        "Content-Length: -1",
    )
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        connection.sendall("\r\n".join([*lines, "", '{"decision": "keep"}']).encode())
        answer = connection.makefile("rb").read()  # to its end
    assert answer.split(b" ", 2)[1] == b"400"
    assert reviews.history(run, KEYS.pictures).num_rows == 0


def test_a_request_without_an_origin_cannot_decide(run: Run, review: Review) -> None:
    parts = urlsplit(review.url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
    headers = {"Content-Type": "application/json"}
    connection.request("POST", f"{parts.path}cards/0", '{"decision": "keep"}', headers)
    assert connection.getresponse().status == 403
    connection.close()
    assert reviews.history(run, KEYS.pictures).num_rows == 0


def test_a_tunnel_from_another_port_can_decide(run: Run, review: Review) -> None:
    headers = {"Host": "localhost:9999", "Origin": "http://localhost:9999"}
    assert ask(review, "cards/0", {"decision": "keep"}, headers).status == 200
    assert reviews.history(run, KEYS.pictures).num_rows == 1


@pytest.mark.parametrize("path", ["/", "/cards/0", "/wrong/", "/wrong/cards/0", "/wrong/next"])
def test_without_the_token_there_is_no_page(review: Review, path: str) -> None:
    assert ask(review, path).status == 404
    assert ask(review, path, {"decision": "keep"}).status == 404


@pytest.mark.parametrize("path", ["cards/99", "cards/7/picture.png", "next?after=x"])
def test_what_is_not_there_is_said(review: Review, path: str) -> None:
    assert ask(review, path).status == 400


@pytest.mark.parametrize("path", ["page.html", "../", "cards/-1", "cards/0/other.png", "cards/"])
def test_there_is_nothing_else(review: Review, path: str) -> None:
    assert ask(review, path).status == 404


def test_the_page_needs_no_network_and_admits_no_other_script(review: Review) -> None:
    page = ask(review, "")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert b"http://" not in page.body
    assert b"https://" not in page.body
    assert page.headers["Cache-Control"] == "no-store"


def test_a_store_that_fails_is_reported_and_nothing_counts(
    run: Run, review: Review, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> bool:
        raise StoreError("the disk is full")

    monkeypatch.setattr(type(run.objects), "create", full)
    answer = ask(review, "cards/0", {"decision": "keep"})
    assert (answer.status, answer.json) == (503, {"error": "the disk is full"})
    assert ask(review, "cards/0").json["decision"] == ""


def test_a_port_that_is_taken_is_named(run: Run, review: Review) -> None:
    port = urlsplit(review.url).port
    with pytest.raises(ValueError, match=f"can't serve the review at 127.0.0.1:{port}"):
        serve(run, KEYS, reviewer="ada", port=port or 0)


def test_every_review_has_its_own_address(run: Run, review: Review) -> None:
    with serve(run, KEYS, reviewer="ada") as other:
        assert urlsplit(other.url).path != urlsplit(review.url).path
        assert urlsplit(other.url).hostname == "127.0.0.1"
        assert len(urlsplit(other.url).path) > 30


def test_several_requests_share_a_connection(review: Review) -> None:
    parts = urlsplit(review.url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
    for number in range(3):
        connection.request("GET", f"{parts.path}cards/{number}")
        assert json.loads(connection.getresponse().read())["number"] == number
    connection.close()


def test_a_closed_review_answers_nobody_any_more(run: Run) -> None:
    with serve(run, KEYS, reviewer="ada") as served:
        parts = urlsplit(served.url)
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)

        def card() -> bytes:
            connection.request("GET", f"{parts.path}cards/0")
            return connection.getresponse().read()

        assert json.loads(card())["number"] == 0
    with pytest.raises((OSError, http.client.HTTPException)):
        card()


def test_bytes_that_are_no_picture_are_an_answer_too(tmp_path: Path) -> None:
    run = attack_run(tmp_path, {SECOND: [0.1]})
    other = attack_run(tmp_path / "other", {SECOND: [None]})
    broken = run.read("pictures", "pictures").drop_columns(["image"])
    broken = broken.append_column("image", [[b"no picture"]])
    other.commit("pictures", "more", {"pictures": broken})
    other.commit("verdicts", "more", {"verdicts": judged(SECOND, [0.1])})
    with serve(other, KEYS, reviewer="ada") as served:
        answer = ask(served, "cards/0/picture.png")
    assert answer.status == 400
    assert "no picture that can be shown" in answer.json["error"]
