"""What travels to the processes of a cluster. Models are large: each travels once per run, and is one in a process.

A class says so of itself by `travels_once = True`. Wherever an instance stands in what is packed, a reference to the
cluster's object store stands for it, the same one in all stages of a run.
"""

import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

import cloudpickle  # type: ignore[import-untyped]
import ray


@dataclass(frozen=True)
class Packed:
    """A value as bytes and as references to its large parts, for any process of the cluster."""

    data: "ray.ObjectRef[bytes]"
    large: Mapping[str, "ray.ObjectRef[Any]"]

    def unpack(self) -> Any:
        """The value; parts that something in this process holds already are not fetched again."""
        return _Unpickler(ray.get(self.data), self.large).load()


@dataclass
class Packer:
    """Packs values; remembers the large parts that it has put into the cluster's object store."""

    _sent: dict[int, tuple[Any, "ray.ObjectRef[Any]"]] = field(default_factory=dict)

    def pack(self, value: Any) -> Packed:
        """The value, ready to travel."""
        pickler = _Pickler(self)
        pickler.dump(value)
        return Packed(ray.put(pickler.file.getvalue()), pickler.large)

    def reference(self, part: Any) -> "ray.ObjectRef[Any]":
        """The one reference to this part, which is kept alive with it."""
        if id(part) not in self._sent:
            self._sent[id(part)] = part, ray.put(part)
        return self._sent[id(part)][1]


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    def __init__(self, packer: Packer) -> None:
        self.file, self.packer = io.BytesIO(), packer
        self.large: dict[str, ray.ObjectRef[Any]] = {}
        super().__init__(self.file)

    def persistent_id(self, value: Any) -> str | None:
        if not getattr(type(value), "travels_once", False):
            return None
        reference = self.packer.reference(value)
        self.large[reference.hex()] = reference
        return reference.hex()


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: bytes, large: Mapping[str, "ray.ObjectRef[Any]"]) -> None:
        super().__init__(io.BytesIO(data))
        self.large = large

    def persistent_load(self, name: str) -> Any:
        part = _present.get(name)
        if part is None:
            part = _present[name] = ray.get(self.large[name])
        return part


_present: WeakValueDictionary[str, Any] = WeakValueDictionary()
"""The large parts in this process, as long as a worker uses them."""
