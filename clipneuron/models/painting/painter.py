"""Text-to-image models behind one small interface: captions and seeds in, pictures or reasons out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8


@dataclass(frozen=True)
class Order:
    """One picture that is wanted."""

    caption: str
    seed: int = 0
    """The same caption with the same seed gives the same picture, whatever is painted beside it."""


@dataclass(frozen=True, eq=False)
class Painted:
    """What became of an order: a picture, or the reason why there is none."""

    pixels: UInt8[np.ndarray, "height width 3"] | None = None
    reason: str = ""
    """Empty where there is a picture."""
    unsafe: bool | None = None
    """The safety checker's verdict; None where none was asked."""
    watermarked: bool | None = None
    """Whether the safety checker saw a watermark, as some models reproduce them."""


@runtime_checkable
class Painter(Protocol):
    """Whatever makes pictures of captions."""

    @property
    def name(self) -> str:
        """Tells apart painters that could paint differently: it goes into fingerprints."""
        ...

    def paint(self, orders: Sequence[Order]) -> list[Painted]:
        """What became of each order, in their order; a bad caption is a reason, not an error."""
        ...
