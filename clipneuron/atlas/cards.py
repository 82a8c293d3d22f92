"""What the atlas says, as plain data: a card per page. Tables are made into cards, cards into HTML.

What a run does not have is None or empty, and its page then has no such section.
"""

from dataclasses import dataclass

Neuron = tuple[int, int]
"""Layer and number in it, both from 0."""


@dataclass(frozen=True)
class Tile:
    """A WebP picture of the site."""

    path: str
    """From the root of the site."""
    width: int
    height: int


@dataclass(frozen=True)
class Picture:
    """A picture as the model sees it: cropped as its preprocessing does, so that patches lie over it."""

    key: str
    """Its name in addresses (`addresses.picture`)."""
    name: str
    """Its id in the collection, or of a painted one; foreign text."""
    tile: Tile | None
    """None where it could not be read."""
    large: Tile | None = None
    label: str = ""
    """Name of its class."""
    says: tuple[str, ...] = ()
    """Words for its alternative text, such as its class or its first concepts."""


@dataclass(frozen=True)
class Heat:
    """Values over the patches of a picture, row after row."""

    rows: int
    columns: int
    values: bytes
    """An unsigned byte per patch: 128 is 0, 255 is `scale`, 1 is -`scale`."""
    scale: float
    """The largest absolute value."""


@dataclass(frozen=True)
class Shown:
    """A picture with what something writes on it."""

    picture: Picture
    effect: float
    """<phi - b, r>, with its sign."""
    heat: Heat | None = None
    """Of this effect: the share of each patch in <phi, r>."""
    norm: float | None = None
    """|phi - b|."""


@dataclass(frozen=True)
class Word:
    """A text with its weight, negative where the neuron writes against it."""

    text: str
    weight: float


@dataclass(frozen=True)
class Score:
    """How true words are on held-out pictures."""

    value: float
    low: float
    high: float
    """The two ends of its 95 % interval."""
    control: float | None = None
    """The same figure of another neuron's words."""
    metric: str = "correlation"
    by: str = ""
    """Who judged."""


@dataclass(frozen=True)
class Described:
    """A neuron's words from one pool by one describer, as `clipneuron explain` names them."""

    pool: str
    describer: str
    words: tuple[Word, ...]
    score: Score | None = None
    note: str = ""
    """Why there are no words."""


@dataclass(frozen=True)
class Histogram:
    """How many pictures have which |phi - b|."""

    edges: tuple[float, ...]
    """One more than there are counts, rising."""
    counts: tuple[int, ...]
    threshold: float | None
    """Least |phi - b| among the top pictures."""


@dataclass(frozen=True)
class Head:
    """A later attention head that carries the neuron's effect."""

    layer: int
    head: int
    share: float
    """Of <phi - b, r> over its top pictures; shares add up to 1 and may be negative."""


@dataclass(frozen=True)
class Near:
    """Another neuron and the cosine of the two directions, with sign."""

    neuron: Neuron
    cosine: float
    words: tuple[Word, ...] = ()
    picture: Picture | None = None
    """Its top picture."""


@dataclass(frozen=True)
class Push:
    """A class that a direction points to or away from."""

    name: str
    value: float
    """Inner product of direction and class embedding, both of unit length."""


@dataclass(frozen=True)
class Ablated:
    """What holding the neuron at its mean does."""

    indirect: float
    """Mean length of the indirect effect on its top pictures."""
    second_order: float
    """Mean length of the second-order effect on the same pictures."""
    pictures: int


@dataclass(frozen=True)
class Painted:
    """An adversarial picture: painted from a caption whose words some neurons gave."""

    picture: Picture
    pair: str
    caption: str
    words: tuple[str, ...]
    neurons: tuple[Neuron, ...]
    """Those behind its words, the strongest first."""
    margin: float | None
    """Cosine to c2 minus cosine to c1."""
    fooled: bool | None
    prediction: str = ""
    heat: Heat | None = None
    method: str = ""


@dataclass(frozen=True)
class Source:
    """A store object that numbers come from."""

    table: str
    key: str
    """Relative to the run."""
    sha256: str


@dataclass(frozen=True)
class Change:
    """How a neuron differs from the same neuron of another run."""

    cosine: float
    """Of the two directions."""
    words: float | None
    """Share of words that both have (Jaccard)."""


@dataclass(frozen=True)
class NeuronCard:
    """A neuron."""

    layer: int
    neuron: int
    previous: Neuron | None = None
    next: Neuron | None = None
    """Its neighbours in the order of layers and numbers, for the arrow keys."""
    note: str = ""
    """Why its direction means nothing (dead, no variance)."""
    pools: tuple[Described, ...] = ()
    """The words of the pools that people read first; two are shown side by side."""
    others: tuple[Described, ...] = ()
    """By other describers."""
    top: tuple[Shown, ...] = ()
    quantiles: tuple[tuple[float, Shown], ...] = ()
    """Pictures at quantiles of |phi - b|, such as 0.9, falling."""
    histogram: Histogram | None = None
    share: float | None = None
    """Share of the pictures whose |phi - b| reaches the threshold."""
    participation: float | None = None
    """Effective share of pictures."""
    explained_variance: float | None = None
    scree: tuple[float, ...] = ()
    """Shares of the variance of its top effects along the first principal directions, falling."""
    heads: tuple[Head, ...] = ()
    nearest: tuple[Near, ...] = ()
    toward: tuple[Push, ...] = ()
    away: tuple[Push, ...] = ()
    ablated: Ablated | None = None
    attacks: tuple[Painted, ...] = ()
    numbers: tuple[tuple[str, float | int | str], ...] = ()
    sources: tuple[Source, ...] = ()
    change: Change | None = None
    against: "NeuronCard | None" = None
    """The same neuron in the run that this one is compared with: its page is split."""


@dataclass(frozen=True)
class Row:
    """A neuron in a sortable table or a list."""

    neuron: Neuron
    words: tuple[Word, ...] = ()
    explained_variance: float | None = None
    participation: float | None = None
    threshold: float | None = None
    score: float | None = None
    """Correlation of its words on held-out pictures."""
    change: Change | None = None
    value: float | None = None
    """What a list is sorted by, where that is none of the above."""
    picture: Picture | None = None
    """Its top picture; None in the tables of whole layers."""


@dataclass(frozen=True)
class Distribution:
    """How a figure is spread over the neurons of a layer."""

    name: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    median: float


@dataclass(frozen=True)
class Ablation:
    """The classifier's accuracy with effects of a layer replaced."""

    layer: int
    name: str
    """What is replaced, such as all, large, small."""
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True)
class LayerCard:
    """A layer."""

    layer: int
    layers: tuple[int, ...]
    """All of the run, for navigation."""
    distributions: tuple[Distribution, ...] = ()
    ablations: tuple[Ablation, ...] = ()
    """Of all layers; the page marks its own."""
    baseline: float | None = None
    """Accuracy with nothing replaced."""
    rows: tuple[Row, ...] = ()


@dataclass(frozen=True)
class WordCard:
    """A word that neurons are described with."""

    word: str
    pools: tuple[str, ...] = ()
    neurons: tuple[tuple[Row, float], ...] = ()
    """Those that use it with their weights, the largest absolute one first."""
    count: int = 0
    """How many use it; `neurons` may hold fewer."""
    shares: tuple[tuple[str, int], ...] = ()
    """Words that neurons use together with it, and how many do."""
    pictures: tuple[Shown, ...] = ()
    """Pictures whose concepts name it; `effect` is the concept's score."""
    named_by: str = ""
    """The method that named it in them."""


@dataclass(frozen=True)
class Cue:
    """A spurious word of a pair."""

    word: str
    score: float
    neurons: tuple[tuple[Neuron, float], ...] = ()
    """Those behind it and what each contributes."""


@dataclass(frozen=True)
class Outcome:
    """What attacks by one method came to."""

    method: str
    pictures: int
    fooled: int


@dataclass(frozen=True)
class PairCard:
    """Two classes: pictures of `c1` are to be taken for `c2`."""

    pair: str
    c1: str
    c2: str
    cues: tuple[Cue, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    gallery: tuple[Painted, ...] = ()


@dataclass(frozen=True)
class Concepts:
    """What a picture shows as one method says."""

    method: str
    words: tuple[Word, ...]
    precision: float | None = None


@dataclass(frozen=True)
class PictureCard:
    """A picture."""

    picture: Picture
    concepts: tuple[Concepts, ...] = ()
    active: tuple[tuple[Row, float], ...] = ()
    """Neurons that act on it and by how much: |phi - b| over their threshold, falling."""
    heats: tuple[tuple[str, Heat], ...] = ()
    """Of the class or concept that `heats_of` names, by method."""
    heats_of: str = ""
    painted: Painted | None = None
    """How an adversarial picture came about."""
    classes: int = 0
    """Among how many classes that of the heats is the nearest; 0 where it is another one."""


@dataclass(frozen=True)
class Point:
    """A neuron in the plane."""

    neuron: Neuron
    x: float
    y: float
    score: float | None = None


@dataclass(frozen=True)
class MapCard:
    """All neurons in the plane by their directions."""

    layers: tuple[int, ...]
    explained: tuple[float, float]
    """Share of the directions' variance along the two axes."""
    points: tuple[Point, ...] = ()


@dataclass(frozen=True)
class Claim:
    """A claim of the paper with this run's number."""

    where: str
    claim: str
    paper: str
    ours: str
    verdict: str


@dataclass(frozen=True)
class FrontCard:
    """The front page."""

    run: str
    """Name and fingerprint."""
    facts: tuple[tuple[str, str], ...]
    """What was run: model, data, settings, digests."""
    layers: tuple[int, ...]
    neurons: int
    words: int
    pictures: int
    """How many pages of each kind there are."""
    pairs: tuple[tuple[str, str], ...] = ()
    """Pairs c1:c2 and a word about each."""
    claims: tuple[Claim, ...] = ()
    polysemantic: tuple[Row, ...] = ()
    """`value` is how different a neuron's words are, see `atlas.words`."""
    best: tuple[Row, ...] = ()
    worst: tuple[Row, ...] = ()
    changed: tuple[Row, ...] = ()
    against: str = ""
    """The run that this one is compared with, by name and fingerprint."""
    caveat: str = ""
    """What to know of the demo world, else empty."""


Card = NeuronCard | LayerCard | WordCard | PairCard | PictureCard | MapCard | FrontCard
