"""Scenes of the demo world: which things are where, in front of which background.

A scene is data; `pictures` renders it and `captions` describes it. Scenes are sampled by seed from
numpy's PCG64: the same seed gives the same scene on every machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clipneuron.demo.backgrounds import BACKGROUNDS, SIDE, VARIANTS
from clipneuron.demo.things import BIASES, CLASSES, COMPANY, HAUNT, THINGS, Thing, thing

TRAINING_SEEDS = range(1 << 40)
"""Seeds of the scenes that the model is trained on."""

HELD_OUT_SEEDS = range(1 << 40, 1 << 41)
"""Seeds of the scenes that no training ever sees: evaluations and written collections."""

FOCUS = 0.65
"""Share of the scenes that are about one of the ten classes."""

_COUNTS = (0.76, 0.16, 0.08)
_COMPANIONS = (0.12, 0.34, 0.34, 0.20)
_SIZES = {1: (30, 44), 2: (24, 40), 3: (22, 34), 4: (20, 30), 5: (20, 28), 6: (18, 26)}
_TRIES = 14


@dataclass(frozen=True)
class Placed:
    """A thing in the picture: the upper left corner and the side of its square, in pixels."""

    thing: Thing
    x: int
    y: int
    size: int
    mirrored: bool = False


@dataclass(frozen=True)
class Scene:
    """A background and the things in front of it, in draw order (later ones hide earlier ones)."""

    background: str
    objects: tuple[Placed, ...]
    variant: int = 0
    """Which painting of the background."""
    look: int = 0
    """Seed of how it all looks: whose drawings, how they are turned and tinted, the light, the clutter."""


def counts(scene: Scene) -> dict[str, int]:
    """How often each thing is in the scene, by name, in the order in which they first appear."""
    number: dict[str, int] = {}
    for placed in scene.objects:
        number[placed.thing.name] = number.get(placed.thing.name, 0) + 1
    return number


def contents(scene: Scene) -> frozenset[str]:
    """The words true of the scene: the names of its things and of its background."""
    return frozenset(counts(scene)) | {scene.background}


def class_of(scene: Scene) -> str:
    """The scene's class if it contains exactly one of the ten classes, otherwise ""."""
    present = [name for name in counts(scene) if name in CLASSES]
    return present[0] if len(present) == 1 else ""


def sample_scene(seed: int, biased: bool = True, required: Sequence[str] = ()) -> Scene:
    """The scene of a seed.

    A share `FOCUS` of the scenes shows one of the ten classes among companions, the others any
    things. In biased scenes a class has the companions of `BIASES`; in unbiased ones companions
    and background are uniform. The things named in `required` always appear.
    """
    dice = np.random.default_rng(seed)
    names = list(dict.fromkeys(thing(name).name for name in required))
    focus = _focus(dice, names)
    background = _background(dice, focus, biased)
    for _ in range(int(dice.choice(4, p=_COMPANIONS))):
        name = _companion(dice, focus, biased)
        if name not in names:
            names.append(name)
    repeats = int(dice.choice(3, p=_COUNTS)) + 1
    number = {name: repeats if name == focus else 1 for name in names}
    return _arrange(dice, background, number, seed)


def arranged(background: str, number: dict[str, int], seed: int) -> Scene:
    """A scene with exactly this number of each thing, laid out by the seed; background "" is any."""
    dice = np.random.default_rng(seed)
    return _arrange(dice, background or str(dice.choice(BACKGROUNDS)), number, seed)


def _focus(dice: np.random.Generator, names: list[str]) -> str:
    """The subject of the scene: a class among `names` or else the first; if there are none, a new one is added."""
    if names:
        return next((name for name in names if name in CLASSES), names[0])
    if dice.random() < FOCUS:
        names.append(CLASSES[dice.integers(len(CLASSES))])
    else:
        names.append(THINGS[dice.integers(len(THINGS))].name)
    return names[0]


def _background(dice: np.random.Generator, focus: str, biased: bool) -> str:
    """The background for a scene about `focus`."""
    if biased and focus in BIASES and dice.random() < HAUNT:
        haunts = BIASES[focus].backgrounds
        return haunts[dice.integers(len(haunts))]
    return BACKGROUNDS[dice.integers(len(BACKGROUNDS))]


def _companion(dice: np.random.Generator, focus: str, biased: bool) -> str:
    """One more thing for a scene about `focus`."""
    if biased and focus in BIASES and dice.random() < COMPANY:
        company = BIASES[focus].things
        return company[dice.integers(len(company))]
    return THINGS[dice.integers(len(THINGS))].name


def _arrange(
    dice: np.random.Generator, background: str, number: dict[str, int], look: int
) -> Scene:
    """The scene with all things placed, with small overlaps and in random draw order."""
    crowd = [
        thing(name)
        for name, repeats in number.items()
        for _ in range(1 if thing(name).mass else repeats)
    ]
    low, high = _SIZES[min(max(1, len(crowd)), max(_SIZES))]
    boxes: list[tuple[int, int, int]] = []
    for size in dice.integers(low // 2, high // 2 + 1, len(crowd)) * 2:
        boxes.append(_free_box(dice, int(size), boxes))
    mirrored = dice.random(len(crowd)) < 0.5
    order = dice.permutation(len(crowd))
    objects = [
        Placed(crowd[i], x, y, size, bool(mirrored[i]))
        for i, (x, y, size) in ((i, boxes[i]) for i in order)
    ]
    return Scene(background, tuple(objects), int(dice.integers(VARIANTS)), look)


def _free_box(
    dice: np.random.Generator, size: int, boxes: list[tuple[int, int, int]]
) -> tuple[int, int, int]:
    """Of a few random boxes (x, y, size), the one that overlaps the others least."""
    corners = dice.integers(0, SIDE - size + 1, (_TRIES, 2)).tolist()
    best, least = (corners[0][0], corners[0][1], size), float("inf")
    for x, y in corners:
        overlap = max((_overlap((x, y, size), box) for box in boxes), default=0.0)
        if overlap < least:
            best, least = (x, y, size), overlap
        if least < 0.12:
            break
    return best


def _overlap(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    """Shared area as a share of the smaller box."""
    wide = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    high = min(one[1] + one[2], other[1] + other[2]) - max(one[1], other[1])
    return max(0, wide) * max(0, high) / min(one[2], other[2]) ** 2
