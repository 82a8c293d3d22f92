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
    from clipneuron.atlas.html.showing import show
    from clipneuron.data import plans
    from clipneuron.data.opening import open_collection
    from clipneuron.lens.effects import SecondOrderLens
    from clipneuron.lens.pursuit import pursuit
    from clipneuron.models.clip.model import Clip, load_clip
    from clipneuron.store.objects.s3_client import s3_filesystem
    from clipneuron.store.store import Run, Store
    from clipneuron.tables.registry import schema

__all__ = [
    "Clip",
    "Run",
    "SecondOrderLens",
    "Store",
    "__version__",
    "load_clip",
    "open_collection",
    "plans",
    "pursuit",
    "s3_filesystem",
    "schema",
    "show",
]

_HOMES = {
    "Clip": "clipneuron.models.clip.model",
    "load_clip": "clipneuron.models.clip.model",
    "SecondOrderLens": "clipneuron.lens.effects",
    "pursuit": "clipneuron.lens.pursuit",
    "Store": "clipneuron.store.store",
    "Run": "clipneuron.store.store",
    "open_collection": "clipneuron.data.opening",
    "s3_filesystem": "clipneuron.store.objects.s3_client",
    "schema": "clipneuron.tables.registry",
    "show": "clipneuron.atlas.html.showing",
}
_MODULES = {"plans": "clipneuron.data.plans"}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name not in _HOMES:
        raise AttributeError(f"module 'clipneuron' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
