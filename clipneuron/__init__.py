"""Second-order effects of the neurons in CLIP's vision transformers, described with words.

    import clipneuron
    clip = clipneuron.load_clip("demo")
    trace = clip.trace(pixels)
    lens = clipneuron.SecondOrderLens(clip, layer=4)
    lens.norms(trace)

The names below are the stable public interface; they are loaded on first use, so that importing the
package stays cheap in processes that never touch a model.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from clipneuron.version import __version__

if TYPE_CHECKING:
    from clipneuron.lens.effects import SecondOrderLens
    from clipneuron.lens.pursuit import pursuit
    from clipneuron.models.clip import Clip, load_clip

__all__ = ["Clip", "SecondOrderLens", "__version__", "load_clip", "pursuit"]

_HOMES = {
    "Clip": "clipneuron.models.clip",
    "load_clip": "clipneuron.models.clip",
    "SecondOrderLens": "clipneuron.lens.effects",
    "pursuit": "clipneuron.lens.pursuit",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'clipneuron' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
