"""Models as workers get them, and the lenses through which a run looks at their layers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from clipneuron.lens.effects import SecondOrderLens
from clipneuron.lens.options import Split
from clipneuron.lens.trace import Trace
from clipneuron.readers.pictures import Pixels

if TYPE_CHECKING:
    from clipneuron.models.clip.model import Clip

ClipLoader = Callable[[], "Clip"]


def placed(device: str) -> torch.device:
    """The device of this name on this machine; `auto` is a GPU where there is one."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)


def moved(clip: "Clip", device: str) -> "Clip":
    """The model on the device of this name, as workers get it."""
    return clip.on(placed(device))


@dataclass(frozen=True)
class Lenses:
    """Which layers a run looks at, and through which lens."""

    layers: tuple[int, ...]
    split: Split
    normalize: bool

    def on(self, clip: "Clip") -> dict[int, SecondOrderLens]:
        """A lens per layer on the model's weights."""
        return {
            layer: SecondOrderLens(clip, layer, split=self.split, normalize=self.normalize)
            for layer in self.layers
        }


def trace_of(clip: "Clip", pixels: Pixels | Tensor, layers: Sequence[int], **keep: bool) -> Trace:
    """The trace of uint8 pixels, normalised where and as the model computes; `keep` as for `Clip.trace`."""
    return clip.trace(clip.preprocess.normalize(pixels, clip.device, clip.dtype), layers, **keep)
