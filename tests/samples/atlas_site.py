"""A small site of an atlas from made-up cards, with texts as hostile as data may be; and what is wrong in any site."""

import io
import os
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from urllib.parse import unquote, urldefrag

from PIL import Image

from clipneuron.atlas import addresses
from clipneuron.atlas.cards import (
    Card,
    Claim,
    Concepts,
    Cue,
    Described,
    FrontCard,
    Head,
    Heat,
    Histogram,
    LayerCard,
    MapCard,
    Near,
    Neuron,
    NeuronCard,
    Outcome,
    Painted,
    PairCard,
    Picture,
    PictureCard,
    Point,
    Push,
    Row,
    Score,
    Shown,
    Source,
    Tile,
    Word,
    WordCard,
)
from clipneuron.atlas.finding import chunks, search
from clipneuron.atlas.html import pages
from clipneuron.atlas.html.links import Site

SCRIPT = "<script>document.title = 'obeyed'</script>"
QUOTED = 'it\'s a "b" & <img src=x onerror="document.title = \'obeyed\'">.png'
PAIR = "horse:automobile"
LAYERS = {3: 3, 9: 130}
"""Layers and how many neurons each has."""
NEURONS = [(layer, n) for layer, count in LAYERS.items() for n in range(count)]
ODD = ("Straße", "İstanbul", "Σίσυφος", "船", "🚢", "!?")
WORDS = ("ship", "boat", "émigré", SCRIPT, *(f"thing {n}" for n in range(200)), *ODD)
_HEAT = Heat(2, 2, bytes([255, 128, 1, 200]), 0.5)
_STATIC = "atlas/static/"


def said_of(neuron: Neuron) -> tuple[Word, ...]:
    """The words of a neuron: each has some of its own, and all of layer 3 say ship."""
    layer, n = neuron
    first = WORDS[n % 3] if layer == 3 else "ship" if n % 10 == 4 else f"thing {n}"
    things = [Word(f"thing {(n * 7 + k) % 200}", w) for k, w in ((0, -0.25), (100, 0.2))]
    odd = [Word(ODD[n], 0.05)] if layer == 9 and n < len(ODD) else []
    return tuple(
        {
            w.text: w for w in (Word(first, 0.5), *things, Word(SCRIPT, 0.1 + n / 1000), *odd)
        }.values()
    )


@cache
def picture(n: int) -> Picture:
    """A picture whose name is foreign text."""
    key = f"p{n}"
    name = QUOTED if n == 0 else f"scene {n}"
    small, large = Tile(addresses.tile(key), 32, 32), Tile(addresses.large(key), 64, 64)
    return Picture(key, name, small, large, label="horse", says=("horse", SCRIPT))


PICTURES = [picture(n) for n in range(4)]
PAINTED = Painted(
    picture(3), PAIR, f"A horse near a {SCRIPT}.", ("ship", SCRIPT), ((9, 4), (3, 0)), 0.1, True, "automobile", _HEAT
)  # fmt: skip


def neuron_card(place: int) -> NeuronCard:
    layer, n = NEURONS[place]
    words = said_of((layer, n))
    score = Score(0.4, 0.3, 0.5, control=0.1)
    around = [NEURONS[p] if 0 <= p < len(NEURONS) else None for p in (place - 1, place + 1)]
    return NeuronCard(
        layer,
        n,
        *around,
        pools=(
            Described("words", "pursuit", words, score),
            Described("scenes", "pursuit", words[:2]),
        ),
        top=tuple(Shown(one, 2.0 - k, _HEAT, 2.5) for k, one in enumerate(PICTURES)),
        quantiles=((0.9, Shown(picture(1), 0.5)),),
        histogram=Histogram((0.0, 1.0, 2.0), (7, 3), 1.5),
        share=0.05,
        explained_variance=0.4 + n / 1000,
        scree=(0.5, 0.3, 0.2),
        heads=(Head(layer + 1, 0, 0.75), Head(layer + 2, 1, 0.25)),
        nearest=(Near(NEURONS[place - 1], -0.7, words[:1], picture(2)),),
        toward=(Push("automobile", 0.2),),
        away=(Push("horse", -0.2),),
        attacks=(PAINTED,) if (layer, n) in PAINTED.neurons else (),
        numbers=(("pictures", 10),),
        sources=(Source("directions", f"directions/{SCRIPT}.parquet", "ab" * 32),),
    )


def row(neuron: Neuron, value: float | None = None) -> Row:
    n = neuron[1]
    score = None if n % 5 == 0 else 0.5 - n / 300
    return Row(
        neuron,
        said_of(neuron),
        0.4 + n / 1000,
        0.1,
        1.5 + n / 10,
        score,
        value=value,
        picture=picture(n % 4),
    )


def word_card(word: str) -> WordCard:
    users = [(row(one), w.weight) for one in NEURONS for w in said_of(one) if w.text == word]
    users.sort(key=lambda item: -abs(item[1]))
    return WordCard(
        word,
        ("words",),
        tuple(users),
        len(users),
        (("ship", 2), (SCRIPT, 1)),
        (Shown(picture(0), 0.5),),
    )


def cards() -> Iterator[Card]:
    """The card of every page."""
    yield from map(neuron_card, range(len(NEURONS)))
    for layer, count in LAYERS.items():
        yield LayerCard(layer, tuple(LAYERS), rows=tuple(row((layer, n)) for n in range(count)))
    yield from map(word_card, WORDS)
    cue = Cue("ship", 0.5, (((9, 4), 0.3), ((3, 0), 0.2)))
    yield PairCard(
        PAIR, "horse", "automobile", (cue,), (Outcome("second-order", 4, 2),), (PAINTED,)
    )
    for one in PICTURES:
        shows = (Concepts("ours", (Word("ship", 0.3), Word(SCRIPT, 0.1)), 0.5),)
        active = tuple((row(n), 1.5) for n in ((3, 1), (9, 4)))
        painted = PAINTED if one is PAINTED.picture else None
        yield PictureCard(one, shows, active, (("ours", _HEAT), ("lrp", _HEAT)), "horse", painted)
    yield map_card()
    rows = tuple(row((9, n), 3.0) for n in (4, 14))
    claim = Claim("Sec. 4", "Neurons are sparse", "0.02", "0.05", "confirmed")
    yield FrontCard(
        "demo-1234", (("model", "ViT"), ("words", SCRIPT)), tuple(LAYERS), len(NEURONS), len(WORDS), len(PICTURES),
        ((PAIR, "2 of 4 fool it"),), (claim,), rows, rows, rows,
    )  # fmt: skip


def map_card() -> MapCard:
    points = (
        Point(n, 0.02 + 0.96 * (k % 12) / 11, 0.02 + 0.96 * (k // 12) / 11, 0.1)
        for k, n in enumerate(NEURONS)
    )
    return MapCard(tuple(LAYERS), (0.3, 0.2), tuple(points))


def data() -> Iterator[chunks.File]:
    """The chunks that the script loads."""
    entries = [
        search.Entry.word(w.word, w.count, [r.neuron for r, _ in w.neurons[:3]])
        for w in map(word_card, WORDS)
    ]
    yield from search.index([*entries, search.Entry.pair(PAIR, 1)], NEURONS)
    for layer, count in LAYERS.items():
        yield from chunks.neuron_words(layer, [(n, said_of((layer, n))) for n in range(count)])
        yield chunks.layer_rows(
            LayerCard(layer, tuple(LAYERS), rows=tuple(row((layer, n)) for n in range(count)))
        )
    yield chunks.map_points(map_card())


def static() -> Iterator[chunks.File]:
    """The script and the style sheet."""
    for address in (addresses.SCRIPT, addresses.STYLE):
        yield address, files("clipneuron").joinpath(_STATIC, Path(address).name).read_bytes()


def write(folder: Path) -> Path:
    """The whole site in a folder."""
    site = Site("demo-1234", "ViT on scenes", tuple(LAYERS), footer="clipneuron")
    for card in cards():
        put(folder, pages.address(card), pages.page(card, site).encode())
    for address, content in (*data(), *static()):
        put(folder, address, content)
    for n, one in enumerate(PICTURES):
        for tile in (one.tile, one.large):
            assert tile
            put(folder, tile.path, webp(tile.width, (40 * n, 90, 200 - 40 * n)))
    return folder


def put(folder: Path, address: str, content: bytes) -> None:
    (folder / address).parent.mkdir(parents=True, exist_ok=True)
    (folder / address).write_bytes(content)


def webp(size: int, colour: tuple[int, int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), colour).save(buffer, "WEBP")
    return buffer.getvalue()


class Links(HTMLParser):
    """What a page refers to, and the ids that it has."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.refers: set[str] = set()
        self.ids: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self.refers |= {
            v for name in ("href", "src", "xlink:href") if (v := found.get(name)) is not None
        }
        self.ids += [v for v in (found.get("id"),) if v]


@cache
def links(path: Path) -> Links:
    return Links(path.read_text("utf-8"))


def broken(folder: Path) -> list[str]:
    """Every reference of a site's pages that leads nowhere, out of the site, or to a folder; and ids given twice."""
    root = folder.resolve()
    return [
        f"{page.relative_to(root)}: {what}"
        for page in sorted(root.rglob("*.html"))
        for what in _broken(root, page)
    ]


def _broken(root: Path, page: Path) -> Iterator[str]:
    ids = links(page).ids
    yield from (f"id {one} twice" for one in sorted({i for i in ids if ids.count(i) > 1}))
    for reference in sorted(links(page).refers):
        if reference.startswith("data:"):
            continue
        there, fragment = _target(page, reference)
        if "://" in reference or not there.is_relative_to(root) or not there.is_file():
            yield f"{reference} leads nowhere"
        elif fragment and there.suffix == ".html" and fragment not in links(there).ids:
            yield f"{reference} has no such place"


def unreached(folder: Path, start: str = addresses.FRONT) -> list[str]:
    """Pages that no path of links leads to, without any script."""
    root, seen = folder.resolve(), set[Path]()
    queue = [root / start]
    while queue:
        page = queue.pop()
        if page.suffix == ".html" and page not in seen and page.is_file():
            seen.add(page)
            queue += [
                _target(page, one)[0] for one in links(page).refers if not one.startswith("data:")
            ]
    return [
        str(page.relative_to(root)) for page in sorted(root.rglob("*.html")) if page not in seen
    ]


def _target(page: Path, reference: str) -> tuple[Path, str]:
    """The file that a page refers to, and the place in it."""
    address, fragment = urldefrag(reference)
    return Path(os.path.normpath(page.parent / unquote(address))) if address else page, unquote(
        fragment
    )
