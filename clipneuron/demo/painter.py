"""The demo world's text-to-image "model": it draws the scene that a caption names."""

from collections.abc import Sequence

from clipneuron.demo.captions import scene_from_caption
from clipneuron.demo.pictures import render
from clipneuron.models.text_to_image import Order, Painted


class ScenePainter:
    """A `Painter` of 64 x 64 pixels; of a caption it draws what the world knows and ignores the rest."""

    name = "demo-scenes-1"

    def paint(self, orders: Sequence[Order]) -> list[Painted]:
        """The picture of each caption; a reason where it names nothing of the world."""
        return list(map(_painted, orders))


def _painted(order: Order) -> Painted:
    try:
        scene = scene_from_caption(order.caption, order.seed)
    except ValueError as error:
        return Painted(reason=str(error))
    return Painted(render(scene))
