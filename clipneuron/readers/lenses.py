"""Models as workers get them, and the lenses through which a run looks at their layers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from clipneuron.lens.effects import SecondOrderLens
from clipneuron.lens.options import Split
from clipneuron.lens.trace import HasWeights, Trace
from clipneuron.models.allocation import keep_freed_memory
from clipneuron.readers.pictures import Pixels

if TYPE_CHECKING:
    from clipneuron.models.clip.model import Clip

ClipLoader = Callable[[], "Clip"]


def placed(device: str) -> torch.device:
    """The device of this name on this machine; `auto` is a GPU where there is one."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)


def reachable(device: str) -> str:
    """The device, or the CPU where it is a GPU and this process has none: on a cluster, tasks of neurons have none."""
    return "cpu" if device.startswith("cuda") and not torch.cuda.is_available() else device


def moved(clip: "Clip", device: str) -> "Clip":
    """The model on the device of this name, as workers get it."""
    place = placed(device)
    if place.type == "cpu":
        keep_freed_memory()
    return clip.on(place)


@dataclass(frozen=True)
class Lenses:
    """Which layers a run looks at, and through which lens."""

    layers: tuple[int, ...]
    split: Split
    normalize: bool
    half: bool = False
    """Whether norms come from half the memory, up to some rounding."""

    def on(self, clip: "Clip") -> dict[int, SecondOrderLens]:
        """A lens per layer on the model's weights."""
        lenses: dict[int, SecondOrderLens] = {}
        source: HasWeights = clip
        for layer in self.layers:
            # each takes its weights from the one before: of half precision they are copied to float32 once
            source = lenses[layer] = self.one(source, layer)
        return lenses

    def one(self, clip: HasWeights, layer: int) -> SecondOrderLens:
        """The lens of one layer, for work that takes layer by layer: those of all would hold gigabytes at a time."""
        return SecondOrderLens(
            clip, layer, split=self.split, normalize=self.normalize, half=self.half
        )


def trace_of(clip: "Clip", pixels: Pixels | Tensor, layers: Sequence[int], **keep: bool) -> Trace:
    """The trace of uint8 pixels, normalised where and as the model computes; `keep` as for `Clip.trace`."""
    return clip.trace(clip.preprocess.normalize(pixels, clip.device, clip.dtype), layers, **keep)
