"""The demo world's text-to-image "model": it draws the scene that a caption names, and knows what it drew."""

from collections.abc import Sequence

from clipneuron.demo.backgrounds import BACKGROUNDS
from clipneuron.demo.captions import scene_from_caption
from clipneuron.demo.pictures import WORLD, render
from clipneuron.demo.scenes import contents
from clipneuron.demo.things import THINGS
from clipneuron.models.painting.painter import Order, Painted


class ScenePainter:
    """A `Painter` of 64 x 64 pixels: it draws what the world knows of a caption and ignores the rest."""

    name = f"demo-scenes-{WORLD}"

    def paint(self, orders: Sequence[Order]) -> list[Painted]:
        """The picture of each caption; a reason where it names nothing in the world."""
        return list(map(_painted, orders))


def _painted(order: Order) -> Painted:
    try:
        scene = scene_from_caption(order.caption, order.seed)
    except ValueError as error:
        return Painted(reason=str(error))
    return Painted(render(scene))


class SceneTruth:
    """A `Witness` that knows which classes are in the scenes of `ScenePainter`, without reading the pictures."""

    name = "scene-truth"

    def shows(
        self, names: Sequence[str], orders: Sequence[Order], images: Sequence[bytes]
    ) -> list[list[bool | None]]:
        """For every order, whether each of the classes is in its scene; None for classes unknown to the world."""
        known = [_word(name) for name in names]
        scenes = [contents(scene_from_caption(order.caption, order.seed)) for order in orders]
        return [[word in scene if word else None for word in known] for scene in scenes]


def _word(name: str) -> str:
    """The world's name of the class, "" if it has no such thing or place."""
    if name in BACKGROUNDS:
        return name
    called = ((item.name, (item.name, item.plural, *item.aliases)) for item in THINGS)
    return next((word for word, others in called if name.lower() in others), "")
