"""For the processes that tests start: what no model of theirs needs is not imported, and no disk is waited for.

open_clip imports timm and transformers wherever they are installed, and torchvision imports torch's compiler, at 3.4 of
6.5 CPU-seconds in each of the suite's sixty processes with a model. Here the first two are missing, which open_clip
allows for, and the compiler is loaded by whoever uses it. The tests' own process has all of them, and the installations
that are tested under the mark `environment` do without this.
"""

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

os.fsync = lambda descriptor: None

sys.modules["timm"] = sys.modules["transformers"] = None  # type: ignore[assignment]


class _Later(ModuleType):
    """A module that is imported when something of it is first asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        for later in _LATER:
            if isinstance(sys.modules.get(later), _Later):
                del sys.modules[later]
        return getattr(importlib.import_module(self.__name__), name)


_LATER = ("torch._dynamo", "torch._dynamo.utils")
for _name in _LATER:
    sys.modules[_name] = _Later(_name)
_torch = importlib.util.find_spec("torch")
_folders = _torch.submodule_search_locations if _torch else None
# Its other parts are found as usual.
sys.modules["torch._dynamo"].__path__ = [str(Path(each, "_dynamo")) for each in _folders or ()]
# The one thing that torchvision imports by name.
sys.modules["torch._dynamo.utils"].is_compile_supported = lambda device: False  # type: ignore[attr-defined]
