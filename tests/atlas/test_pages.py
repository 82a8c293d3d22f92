"""Cards as pages: complete, harmless whatever data says, and without a section for what a run does not have."""

import posixpath
import re
from dataclasses import replace
from itertools import pairwise

import pytest

from clipneuron.atlas import addresses
from clipneuron.atlas.cards import (
    Card,
    Change,
    Described,
    FrontCard,
    LayerCard,
    MapCard,
    NeuronCard,
    PairCard,
    Picture,
    PictureCard,
    Row,
    Shown,
    Word,
    WordCard,
)
from clipneuron.atlas.html.links import Site
from clipneuron.atlas.html.pages import address, page, style
from tests.samples import atlas_cards as made
from tests.samples.html import Page

KINDS = list(made.all_cards())
EMPTY: list[Card] = [
    NeuronCard(9, 1),
    LayerCard(9, (9,)),
    WordCard("ship"),
    PairCard(made.PAIR, "horse", "automobile"),
    PictureCard(Picture("3", "a.jpg", None)),
    MapCard((9,), (0.0, 0.0)),
    FrontCard("run", (), (), 0, 0, 0),
]


def read(card: Card, site: Site = made.SITE) -> Page:
    return Page(page(card, site))


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_is_well_formed_and_the_same_twice(kind: str) -> None:
    card = made.all_cards()[kind]
    html = page(card, made.SITE)
    assert html == page(card, made.SITE)
    found = Page(html)
    assert len(found.all("h1")) == 1
    ids = found.values("id")
    assert len(ids) == len(set(ids))
    for named in found.values("aria-labelledby"):
        assert named in ids
    levels = [int(tag[1]) for tag, _ in found.elements if re.fullmatch("h[1-6]", tag)]
    assert all(b - a <= 1 for a, b in pairwise(levels)), levels


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_inline_and_nothing_is_asked_of_another_host(kind: str) -> None:
    found = read(made.all_cards()[kind])
    policy = next(m["content"] for m in found.all("meta") if "http-equiv" in m)
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert found.values("style") == []
    assert found.all("style") == []
    assert [set(script) for script in found.all("script")] == [{"src"}]
    assert not [name for _, attributes in found.elements for name in attributes if name[:2] == "on"]
    for link in (*found.values("href"), *found.values("src")):
        assert not re.match("[a-z]+:(?!image/png;base64,|,$)|/", link), link


@pytest.mark.parametrize("kind", KINDS)
def test_links_lead_to_addresses_of_the_site(kind: str) -> None:
    card = made.all_cards()[kind]
    asked: list[str] = []
    found = read(card, replace(made.SITE, holds=lambda to: asked.append(to) is None))
    links = {link for link in found.values("href") if not link.startswith(("#", "data:"))}
    folder = posixpath.dirname(address(card))
    led = {posixpath.normpath(posixpath.join(folder, link)) for link in links}
    assert led == {*asked, addresses.STYLE}


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_that_the_site_lacks_is_named_without_a_link(kind: str) -> None:
    card = made.all_cards()[kind]
    everywhere, nowhere = read(card), read(card, replace(made.SITE, holds=lambda to: False))
    assert {link for link in nowhere.values("href") if link} <= {
        "#main", "data:,", f"{addresses.root(address(card))}{addresses.STYLE}",
    }  # fmt: skip
    for name in ("ship", "9:4"):
        assert (name in everywhere.text) == (name in nowhere.text)


@pytest.mark.parametrize("kind", KINDS)
def test_every_picture_has_words_and_a_size(kind: str) -> None:
    for image in read(made.all_cards()[kind]).all("img"):
        assert "alt" in image
        assert ("width" in image) == ("heat" not in image.get("class", ""))
    for drawing in read(made.all_cards()[kind]).all("svg"):
        assert drawing.get("aria-label") or drawing.get("aria-hidden") or "bar" in drawing["class"]


@pytest.mark.parametrize("card", EMPTY, ids=lambda card: type(card).__name__)
def test_what_a_run_does_not_have_has_no_section(card: Card) -> None:
    found = read(card, Site("run", map=False))
    assert found.all("section") == []
    assert found.all("svg") == []
    assert "None" not in found.text


def test_any_one_field_of_a_neuron_makes_a_page_of_its_own() -> None:
    whole, bare = made.neuron_card(), NeuronCard(9, 391)
    empty = page(bare, made.SITE)
    for name in (
        "pools", "others", "top", "quantiles", "histogram", "share", "participation", "explained_variance",
        "scree", "heads", "nearest", "toward", "away", "ablated", "attacks", "numbers", "sources",
    ):  # fmt: skip
        alone = page(replace(bare, **{name: getattr(whole, name)}), made.SITE)
        assert Page(alone)
        if name not in ("others", "share"):  # which are said beside words and the histogram
            assert alone != empty, name


def test_hostile_texts_are_shown_as_they_are_and_do_nothing() -> None:
    bad = made.HOSTILE
    picture = replace(made.picture(1), name=bad, label=bad, says=(bad,))
    words = (Word(bad, 1.0), Word("$x$ `code` **b** | [a](b)", -0.5))
    shown = Shown(picture, 1.0, made.heat(1))
    painted = replace(made.painted(1), picture=picture, pair=bad, caption=bad, words=(bad,))
    site = Site(bad, bad, (9,), footer=bad, against=bad)
    row = Row((9, 1), words, picture=picture)
    neuron = replace(
        made.neuron_card(),
        pools=(Described(bad, bad, words), Described(bad, bad, (), note=bad)),
        top=(shown,),
        attacks=(painted,),
        note=bad,
    )
    cards: list[Card] = [
        neuron,
        replace(made.compared_card(), against=neuron),
        replace(made.layer_card(3), rows=(row,)),
        WordCard(bad, (bad,), ((row, 1.0),), 1, ((bad, 1),), (shown,)),
        replace(made.pair_card(), pair=bad, c1=bad, c2=bad, gallery=(painted,)),
        replace(made.painted_card(), picture=picture, painted=painted, heats_of=bad),
        replace(made.front_card(), run=bad, facts=((bad, bad),), pairs=((bad, bad),), caveat=bad),
    ]
    seen = "<script>document.title='bad'</script>\"'><img src=x onerror=\"document.title='bad'\">&amp;<U+202E>"
    for card in cards:
        found = read(card, site)
        assert seen in found.text
        assert len(found.all("script")) == 1
        assert "x" not in found.values("src")
        assert found.values("onerror") == []


def test_words_carry_their_signs_and_lead_on() -> None:
    found = read(made.neuron_card())
    assert (
        "Writes towards “ship”, “harbour” and “lighthouse” and against “sailing boat”" in found.text
    )
    assert "−0.33" in found.text
    assert "../../word/ship/index.html" in found.values("href")
    assert "../../word/sailing-boat/index.html" in found.values("href")


def test_pictures_are_told_by_what_is_on_them() -> None:
    found = read(made.neuron_card())
    told = [image["alt"] for image in found.all("img") if image["alt"]]
    assert told[0] == "picture of ship, effect +3.10"
    assert "picture of fog" not in told[0]
    unknown = Shown(Picture("7", 'a "quoted" name.jpg', made.tile("7")), -1.0)
    alone = read(NeuronCard(9, 1, top=(unknown,)))
    assert 'picture a "quoted" name.jpg, effect −1.00' in [i["alt"] for i in alone.all("img")]


def test_a_picture_that_could_not_be_read_is_said_to_be_missing() -> None:
    lost = Shown(Picture("7", "a.jpg", None), 1.0)
    found = read(NeuronCard(9, 1, top=(lost,)))
    assert found.all("img") == []
    assert "it could not be read" in found.text


def test_neighbours_are_links_that_the_arrow_keys_follow() -> None:
    found = read(made.neuron_card())
    related = {link["rel"]: link["href"] for link in found.all("a") if "rel" in link}
    assert related == {
        "up": "../../9/index.html",
        "prev": "../../9/390/index.html",
        "next": "../../9/392/index.html",
    }
    assert "prev" not in read(NeuronCard(9, 0)).values("rel")


def test_two_runs_stand_side_by_side_with_what_changed_above() -> None:
    found = read(made.compared_card())
    assert "Against openai-b32: the two directions have a cosine of +0.41" in found.text
    assert "25.0 % of the words are in both" in found.text.replace("\u00a0", " ")
    assert found.values("aria-label").count("This run") == 1
    assert found.values("id").count("this-words") == found.values("id").count("other-words") == 1
    assert found.values("id").count("heat") == 1
    without_words = replace(made.compared_card(), change=Change(-0.5, None))
    assert "cosine of −0.50." in read(without_words).text


def test_a_long_table_shows_the_first_rows_and_links_to_all() -> None:
    found = read(made.layer_card(150))
    (table,) = (t for t in found.all("table") if "data-sortable" in t)
    assert table["data-rows"] == "layer/9"
    cells = [link for link in found.all("a") if link.get("class") == "neuron"]
    assert len(cells) == 100
    assert "../9/149/index.html" in found.values("href")
    columns = [th["data-column"] for th in found.all("th") if "data-column" in th]
    assert columns == [
        "neuron",
        "words",
        "explained_variance",
        "participation",
        "threshold",
        "score",
    ]
    short = read(made.layer_card(20))
    assert "data-rows" not in next(t for t in short.all("table") if "data-sortable" in t)
    assert short.all("details") == []


def test_a_layer_of_a_compared_run_tells_the_changes() -> None:
    row = replace(made.row(9, 1), picture=None, score=None, change=Change(0.25, 0.5))
    found = read(replace(made.layer_card(1), rows=(row, replace(row, change=None))))
    columns = [th["data-column"] for th in found.all("th") if "data-column" in th]
    assert columns[-2:] == ["cosine", "shared"]
    assert "score" not in columns
    assert "0.25" in found.text


def test_the_chain_from_picture_to_neurons_is_whole() -> None:
    text = read(made.pair_card()).text
    for step in ("caption", "A horse by a striped awning", "words", "rope", "neurons", "10:33"):
        assert step in text
    assert "17 of 40 pictures" in text
    assert "not fooled, taken for “horse”, margin −0.02 by second-order" in text


def test_verdicts_and_caveat_are_on_the_front() -> None:
    found = read(made.front_card())
    assert {"verdict holds", "verdict holds-in-part", "verdict does-not-hold"} <= set(
        found.values("class")
    )
    assert "what holds here need not hold for CLIP" in found.text


def test_every_class_that_the_style_names_is_on_a_page_or_made_by_the_script() -> None:
    used = {"single", "inside"}  # of a file of its own
    for card in made.all_cards().values():
        used |= {name for value in read(card).values("class") for name in value.split()}
    styled = set(re.findall(r"\.([a-z][\w-]*)", re.sub(r"/\*.*?\*/|\"[^\"]*\"", "", style())))
    rare = (
        {"lost", "cannot-be-judged"} | {f"s{n}" for n in range(6)} | {f"hue{n}" for n in range(10)}
    )
    assert {name for name in styled - used - rare if not name.startswith("js-")} == set()
