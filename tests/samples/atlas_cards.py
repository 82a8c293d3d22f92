"""Made-up cards of every kind with all that a card can have, and the pictures they show."""

import io
from dataclasses import replace
from functools import cache
from itertools import pairwise
from math import exp, log
from random import Random

from PIL import Image, ImageDraw

from clipneuron.atlas import addresses
from clipneuron.atlas.cards import (
    Ablated,
    Ablation,
    Card,
    Change,
    Claim,
    Concepts,
    Cue,
    Described,
    Distribution,
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
from clipneuron.atlas.html.links import Site

LAYERS = tuple(range(6, 12))
SITE = Site(
    run="laion-b32",
    title="ViT-B-32 (laion2b) on 5,000 pictures",
    layers=LAYERS,
    footer="clipneuron 1.0.0 · run laion-b32 · fingerprint 3f8a91c2",
    against="openai-b32",
)
WORDS = (
    "ship", "harbour", "sailing boat", "desk", "lighthouse", "ocean wave", "parked car", "rope", "mast", "fisherman",
    "striped awning", "a very long text that describes a whole scene beside the sea", "gull", "anchor", "fog",
)  # fmt: skip
HOSTILE = "<script>document.title='bad'</script>\"'><img src=x onerror=\"document.title='bad'\">&amp;\u202e"
PAIR = "horse:automobile"


def tile(name: str, side: int = 112) -> Tile:
    """The tile of a made-up picture, whose bytes `pixels` paints."""
    return Tile(f"picture/{name}/tile.webp", side, side)


def pixels(path: str, side: int = 112) -> bytes:
    """A picture that is always the same for the same path: a ground, a sky and some things."""
    draw_from = Random(path)
    picture = Image.new("RGB", (side, side), _colour(draw_from, 120, 230))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, side * 0.55, side, side), fill=_colour(draw_from, 40, 160))
    for _ in range(4):
        x, y = draw_from.uniform(0, side * 0.7), draw_from.uniform(side * 0.1, side * 0.7)
        size = draw_from.uniform(side * 0.15, side * 0.4)
        shape = draw.ellipse if draw_from.random() < 0.5 else draw.rectangle
        shape((x, y, x + size, y + size), fill=_colour(draw_from, 0, 255))
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=80)
    return buffer.getvalue()


def _colour(draw_from: Random, low: int, high: int) -> tuple[int, int, int]:
    red, green, blue = (draw_from.randint(low, high) for _ in range(3))
    return red, green, blue


def picture(number: int) -> Picture:
    """A picture of the collection."""
    key = str(number)
    return Picture(
        key=key,
        name=f"train/harbour/{number:05d}.jpg",
        tile=tile(key),
        large=Tile(f"picture/{key}/picture.webp", 224, 224),
        label=WORDS[number % 5],
        says=(WORDS[number % 7], WORDS[number % 11]),
    )


def heat(seed: int, side: int = 7) -> Heat:
    """A blob of heat that writes towards, and a fainter one that writes against."""
    draw_from = Random(seed)
    row, column = draw_from.uniform(1, side - 2), draw_from.uniform(1, side - 2)

    def value(r: int, c: int) -> int:
        near = exp(-((r - row) ** 2 + (c - column) ** 2) / 2)
        far = 0.4 * exp(-((r - side + row) ** 2 + (c - 1) ** 2) / 2)
        return 128 + round(127 * max(-1.0, min(1.0, near - far)))

    values = bytes(value(r, c) for r in range(side) for c in range(side))
    return Heat(side, side, values, 0.31)


def shown(number: int, effect: float, warm: bool = True) -> Shown:
    """A picture with an effect on it."""
    return Shown(picture(number), effect, heat(number) if warm else None, abs(effect) * 1.1)


def described(pool: str, first: int, score: float = 0.42) -> Described:
    """Words of a pool with falling weights, the third and fourth against."""
    weights = (0.52, 0.41, -0.33, -0.21, 0.15, 0.08)
    words = (Word(WORDS[(first + n) % len(WORDS)], weight) for n, weight in enumerate(weights))
    found = Score(score, score - 0.11, score + 0.09, 0.03, by="scene truth")
    return Described(pool, "sparse pursuit", tuple(words), found)


def row(layer: int, neuron: int, pictured: bool = True) -> Row:
    """A neuron in a list."""
    words = tuple(Word(WORDS[(neuron + n) % len(WORDS)], 0.5 - n * 0.2) for n in range(4))
    return Row(
        (layer, neuron),
        words,
        explained_variance=0.2 + (neuron * 37 % 70) / 100,
        participation=0.01 + (neuron * 13 % 30) / 100,
        threshold=0.4 + (neuron * 7 % 90) / 100,
        score=-0.1 + (neuron * 29 % 70) / 100,
        value=0.3 + (neuron * 11 % 60) / 100,
        picture=picture(neuron) if pictured else None,
    )


def histogram() -> Histogram:
    """Logarithmic bins, most of them empty, as a sweep has them."""
    edges = tuple(10 ** (-6 + n / 32) for n in range(257))
    middle = [(a * b) ** 0.5 for a, b in pairwise(edges)]
    counts = tuple(int(700 * exp(-((log(x) - log(0.12)) ** 2) / 0.5)) for x in middle)
    return Histogram(edges, counts, 0.47)


def painted(number: int, fooled: bool | None = True) -> Painted:
    """An adversarial picture."""
    key = addresses.slug(f"{PAIR}-{number}")
    return Painted(
        picture=Picture(
            key, f"{PAIR}-{number}", tile(key), Tile(f"picture/{key}/picture.webp", 224, 224)
        ),
        pair=PAIR,
        caption="A horse by a striped awning, ropes coiled at its feet and a gull over the harbour.",
        words=("striped awning", "rope", "gull"),
        neurons=((9, 4), (10, 33), (8, 512)),
        margin=0.083 if fooled else -0.021,
        fooled=fooled,
        prediction="automobile" if fooled else "horse",
        heat=heat(number),
        method="second-order",
    )


def neuron_card(layer: int = 9, neuron: int = 391) -> NeuronCard:
    """A neuron that has everything."""
    heads = tuple(
        Head(
            later,
            head,
            0.34 if (later, head) == (11, 3) else 0.03 * ((head * 5 + later) % 7) - 0.02,
        )
        for later in (10, 11)
        for head in range(12)
    )
    return NeuronCard(
        layer,
        neuron,
        previous=(layer, neuron - 1),
        next=(layer, neuron + 1),
        pools=(
            described("common words", 0),
            described("descriptions of ImageNet classes", 5, 0.31),
        ),
        others=(described("common words", 3, 0.2), described("common words", 6, -0.05)),
        top=tuple(shown(n, 3.1 - 0.17 * n if n != 5 else -2.2) for n in range(12)),
        quantiles=tuple(
            (q, shown(40 + n, 1.9 - 0.3 * n))
            for n, q in enumerate((0.99, 0.95, 0.9, 0.75, 0.5, 0.25, 0.1))
        ),
        histogram=histogram(),
        share=0.0204,
        participation=0.057,
        explained_variance=0.836,
        scree=(0.836, 0.071, 0.032, 0.02, 0.012, 0.008),
        heads=heads,
        nearest=tuple(
            Near((10, 33 + n), 0.83 - 0.19 * n, row(10, 33 + n).words, picture(60 + n))
            for n in range(6)
        ),
        toward=tuple(Push(name, 0.21 - 0.02 * n) for n, name in enumerate(WORDS[:5])),
        away=tuple(Push(name, -0.14 + 0.02 * n) for n, name in enumerate(WORDS[5:10])),
        ablated=Ablated(0.0412, 0.0533, 64),
        attacks=(painted(1), painted(2, False), painted(3, None)),
        numbers=(("pictures", 5000), ("mean length of the effect", 0.1312), ("note", "none")),
        sources=(
            Source("directions", "sweep/directions/layer=9/part-0.parquet", "9f" * 32),
            Source("neuron_words", "sweep/words-common/layer=9/part-0.parquet", "3c" * 32),
        ),
    )


def compared_card() -> NeuronCard:
    """A neuron beside itself in another run."""
    other = replace(neuron_card(), pools=(described("common words", 8),), share=0.03)
    return replace(neuron_card(), change=Change(0.412, 0.25), against=other)


def layer_card(rows: int = 150) -> LayerCard:
    """A layer."""
    edges = tuple(n / 20 for n in range(21))
    names = ("explained variance", "effective share of pictures", "threshold", "score of words")
    spread = tuple(
        Distribution(
            name,
            edges,
            tuple(int(300 * exp(-((x - 0.3 - 0.1 * n) ** 2) / 0.03)) for x in edges[:-1]),
            0.3 + 0.1 * n,
        )
        for n, name in enumerate(names)
    )
    fall = {"all": 0.25, "large": 0.22, "small": 0.01}
    ablations = tuple(
        Ablation(
            layer, name, accuracy := 0.62 - drop * (layer - 5) / 6, accuracy - 0.01, accuracy + 0.01
        )
        for layer in LAYERS
        for name, drop in fall.items()
    )
    listed = tuple(replace(row(9, n), picture=None) for n in range(rows))
    return LayerCard(9, LAYERS, spread, ablations, 0.623, listed)


def word_card(word: str = "ship") -> WordCard:
    """A word."""
    neurons = tuple((row(9, n), 0.6 - 0.07 * n) for n in range(12))
    shares = tuple((other, 9 - n) for n, other in enumerate(WORDS[1:8]))
    pictures = tuple(shown(n, 0.4 - 0.03 * n, warm=False) for n in range(8))
    return WordCard(word, ("common words",), neurons, 37, shares, pictures)


def pair_card() -> PairCard:
    """A pair."""
    cues = tuple(
        Cue(word, 1.3 - 0.2 * n, (((9, 4), 0.5), ((10, 33), 0.31), ((8, 512), -0.1)))
        for n, word in enumerate(WORDS[7:12])
    )
    outcomes = (
        Outcome("second-order", 40, 17),
        Outcome("first-order", 40, 5),
        Outcome("random words", 40, 1),
    )
    return PairCard(
        PAIR, "horse", "automobile", cues, outcomes, (painted(1), painted(2, False), painted(3))
    )


def picture_card() -> PictureCard:
    """A picture of the collection."""
    concepts = (
        Concepts("second-order neurons", described("", 0).words, 0.61),
        Concepts("SpLiCE", tuple(Word(word, 0.4) for word in WORDS[3:8])),
    )
    active = tuple((row(9, n), 3.2 - 0.25 * n) for n in range(9))
    heats = tuple((name, heat(n, 14)) for n, name in enumerate(("neurons", "Grad-CAM", "rollout")))
    return PictureCard(picture(3), concepts, active, heats, "ship")


def painted_card() -> PictureCard:
    """An adversarial picture."""
    return replace(picture_card(), picture=painted(1).picture, painted=painted(1), heats=())


def map_card(points: int = 2400) -> MapCard:
    """A map of clusters."""
    draw_from = Random(5)
    found = []
    for n in range(points):
        layer = LAYERS[n % len(LAYERS)]
        x = 0.5 + 0.13 * (n % 3 - 1) + draw_from.gauss(0, 0.05) * (layer - 4) / 3
        y = 0.5 + 0.16 * (n % 2 - 0.5) + draw_from.gauss(0, 0.09)
        score = None if n % 9 == 0 else max(-0.2, draw_from.gauss(0.3 + 0.4 * (x - 0.5), 0.15))
        found.append(Point((layer, n), min(max(x, 0.0), 1.0), min(max(y, 0.0), 1.0), score))
    return MapCard(LAYERS, (0.112, 0.074), tuple(found))


def front_card() -> FrontCard:
    """A front page."""
    claims = (
        Claim(
            "Sec. 4.1", "Late layers have the largest effects", "80 %", "78 % (75 to 81)", "holds"
        ),
        Claim("Sec. 4.2", "Effects are significant on few pictures", "2 %", "5 %", "holds in part"),
        Claim("Fig. 3", "One direction explains most of it", "0.65", "0.31", "does not hold"),
        Claim("Table 3", "Its words fool more", "no number", "not computed", "not computed"),
    )
    facts = (
        ("model", "ViT-B-32"),
        ("weights", "laion2b_s34b_b79k"),
        ("pictures", "5,000 of imagenet-val"),
        ("digest", "ab" * 32),
    )
    listed = tuple(row(9, n) for n in range(6))
    changed = tuple(replace(one, change=Change(0.1 * n, 0.2)) for n, one in enumerate(listed))
    return FrontCard(
        "laion-b32 (3f8a91c2)",
        facts,
        LAYERS,
        18432,
        5120,
        9034,
        ((PAIR, "17 of 40 fooled"), ("ship:truck", "9 of 40 fooled")),
        claims,
        listed,
        listed,
        listed,
        changed,
        "openai-b32 (77aa01)",
        "The demo’s model is small and its world made up: what holds here need not hold for CLIP.",
    )


@cache
def all_cards() -> dict[str, Card]:
    """A card of every kind, by the name of what it shows."""
    return {
        "neuron": neuron_card(),
        "compared": replace(compared_card(), neuron=392),
        "bare": NeuronCard(9, 1),
        "layer": layer_card(),
        "word": word_card(),
        "pair": pair_card(),
        "picture": picture_card(),
        "painted": painted_card(),
        "map": map_card(),
        "front": front_card(),
    }


def neuron_tiles(card: NeuronCard) -> dict[str, bytes]:
    """The bytes of a card's pictures by the paths of their tiles."""
    pictures = [
        *(one.picture for one in card.top),
        *(one.picture for _, one in card.quantiles),
        *(one.picture for one in card.attacks),
        *(one.picture for one in card.nearest),
    ]
    return {p.tile.path: pixels(p.tile.path) for p in pictures if p and p.tile}


NEURON: Neuron = (9, 391)
