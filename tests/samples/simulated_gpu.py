"""A simulated GPU: tensors that are on "cuda" as far as anybody can tell, with numbers that a CPU computes.

Every operation runs twice. On torch's fake tensors it says on which device its results are, and fails where its inputs
are on different ones, by the rules that torch itself has for a GPU. On real tensors of the CPU it gives the numbers, so
that a worker runs to its end and its tables can be compared. What would make the CPU wait for a GPU is counted.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import FrameType
from typing import Any
from unittest.mock import patch

import torch
from torch._subclasses import fake_tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_unflatten

SIZES = {
    "nonzero",
    "nonzero_numpy",
    "masked_select",
    "bincount",
    "unique_dim",
    "_unique2",
    "unique_consecutive",
}
"""Results whose size only the device knows: the CPU waits for it."""

NUMBERS = {"_local_scalar_dense", "item", "is_nonzero", "equal", "allclose"}
"""Results that are numbers of Python's."""

SOLVERS = {
    *("linalg_eigh", "_linalg_eigh", "linalg_eigvalsh", "linalg_svd", "_linalg_svd", "linalg_inv"),
    *("linalg_solve", "_linalg_solve_ex", "linalg_cholesky", "linalg_lstsq", "linalg_svdvals"),
}
"""What asks a GPU whether it has succeeded (`torch.linalg`'s documentation says so of each)."""

_UNKNOWN = (
    fake_tensor.DynamicOutputShapeException,
    fake_tensor.DataDependentOutputException,
    fake_tensor.UnsupportedOperatorException,
    fake_tensor.UnsupportedFakeTensorException,
    NotImplementedError,
)


class OnGpu(torch.Tensor):
    """A tensor that is on a GPU, with its numbers."""

    on_cpu: torch.Tensor
    fake: FakeTensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, real: torch.Tensor, fake: FakeTensor) -> "OnGpu":
        # Views of ordinary tensors stay ordinary ones in inference mode.
        with torch.inference_mode(real.is_inference()):
            made = torch.Tensor._make_wrapper_subclass(
                cls,
                real.shape,
                real.stride(),
                real.storage_offset(),
                dtype=real.dtype,
                device="cuda:0",
            )
        made.on_cpu, made.fake = real, fake
        return made

    def tolist(self) -> Any:
        """By way of the CPU, as torch itself does it."""
        return self.cpu().tolist()

    def record_stream(self, stream: object) -> None:
        """Nobody waits for it; torch would take none but its own streams."""

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise RuntimeError(f"{func} of a tensor on a GPU that is no longer simulated")


class Gpu(TorchDispatchMode):
    """While it is entered, torch has a GPU; `waits` has every time that the CPU would wait for it, by kind."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[str] = Counter()
        self.where: Counter[str] = Counter()
        self._fakes = FakeTensorMode(allow_non_fake_inputs=True)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        flat, spec = tree_flatten((args, kwargs or {}))
        with unset_fake_temporarily():
            if not any(isinstance(each, OnGpu) or _is_gpu(each) for each in flat):
                return _computed(func, args, kwargs or {})
            self._count(func, args, kwargs or {}, flat)
            return self._results(func, flat, spec, self._told(func, flat, spec))

    def _told(self, func: Any, flat: list[Any], spec: Any) -> Any:
        """The results by the rules of fake tensors; the device alone where these know no shape."""
        given = [self._fake(each) for each in flat]
        args, kwargs = tree_unflatten(given, spec)
        try:
            with self._fakes:
                return func(*args, **kwargs)
        except _UNKNOWN:
            tensors = [each for each in given if isinstance(each, torch.Tensor)]
            return FakeTensor._find_common_device(func, tensors)[0] if tensors else None

    def _fake(self, value: Any) -> Any:
        if isinstance(value, OnGpu):
            return value.fake
        if isinstance(value, torch.Tensor):
            return self._fakes.from_tensor(value.detach())
        return value

    def _results(self, func: Any, flat: list[Any], spec: Any, told: Any) -> Any:
        given = [_real(each) for each in flat]
        known = {id(each.on_cpu): each for each in flat if isinstance(each, OnGpu)}
        own = {id(each) for each in flat if isinstance(each, torch.Tensor)}
        args, kwargs = tree_unflatten(given, spec)
        made = _computed(func, args, kwargs)
        if torch.Tag.inplace_view in func.tags:
            _reshape(func, *tree_unflatten(flat, spec))
        flat_made, shape = tree_flatten(made)
        devices = _devices(told, len(flat_made))
        results = [
            self._placed(each, device, known, own)
            for each, device in zip(flat_made, devices, strict=True)
        ]
        return tree_unflatten(results, shape)

    def _placed(self, made: Any, told: Any, known: dict[int, OnGpu], own: set[int]) -> Any:
        if not isinstance(made, torch.Tensor):
            return made
        device = told.device if isinstance(told, torch.Tensor) else told
        if device is None or device.type == "cpu":
            return made.clone() if id(made) in known else made
        if id(made) in known:
            return known[id(made)]
        if id(made) in own:
            made = made.clone()
        if not isinstance(told, FakeTensor) or told.shape != made.shape:
            with self._fakes:
                told = torch.empty_strided(
                    made.shape, made.stride(), dtype=made.dtype, device="cuda:0"
                )
        return OnGpu(made, told)

    def _count(self, func: Any, args: Any, kwargs: Any, flat: list[Any]) -> None:
        name = func.overloadpacket.__name__
        kind = ""
        if name in NUMBERS:
            kind = "number"
        elif name in SIZES or (func is torch.ops.aten.repeat_interleave.self_Tensor):
            kind = "size"
        elif name in ("index", "index_put", "index_put_", "_index_put_impl_"):
            kind = "size" if any(_is_mask(each) for each in args[1]) else ""
        elif name in SOLVERS:
            kind = "solver"
        elif name in ("_to_copy", "to", "copy_"):
            kind = _copy(name, args, kwargs, flat)
        if kind:
            self.waits[kind] += 1
            self.where[f"{kind}: {name} at {_caller()}"] += 1


@contextmanager
def simulated_gpu() -> Iterator[Gpu]:
    """torch on a machine with a GPU; tensors that are on it are only good in here."""
    gpu = Gpu()
    streams = {
        "is_available": lambda: True,
        "Stream": lambda *_, **__: _Stream(),
        "current_stream": lambda *_: _Stream(),
        "stream": lambda _: nullcontext(),
    }
    fake_tensor.init_gpu_context(torch.device("cuda", 0))
    # The outer mode keeps torch from looking for a driver; the inner one answers everything.
    with FakeTensorMode(), gpu, patch.multiple(torch.cuda, **streams), _new_parameters():
        yield gpu


@contextmanager
def _new_parameters() -> Iterator[None]:
    """A module that is moved gets new parameters: a simulated tensor cannot be put into one of the CPU's."""
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        yield
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(before)


class _Stream:
    """Stands for a stream, and for what was recorded on one."""

    def wait_event(self, event: object) -> None: ...

    def record_event(self) -> "_Stream":
        return self

    def synchronize(self) -> None: ...


def _is_gpu(value: Any) -> bool:
    return isinstance(value, torch.device) and value.type == "cuda"


def _is_mask(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dtype in (torch.bool, torch.uint8)


def _real(value: Any) -> Any:
    if isinstance(value, OnGpu):
        return value.on_cpu
    return torch.device("cpu") if _is_gpu(value) else value


def _computed(func: Any, args: Any, kwargs: Any) -> Any:
    name = func.overloadpacket.__name__
    if name in ("pin_memory", "_pin_memory"):
        return args[0].clone()
    if name == "is_pinned":
        return False
    return func(*args, **kwargs)


def _reshape(func: Any, args: Any, kwargs: Any) -> None:
    """Give the tensor itself, not only its numbers, the shape that an operation such as `squeeze_` asks for."""
    before = torch._C._meta_in_tls_dispatch_include()
    with no_dispatch():
        torch._C._set_meta_in_tls_dispatch_include(True)
        try:
            func(*args, **kwargs)
        finally:
            torch._C._set_meta_in_tls_dispatch_include(before)


def _devices(told: Any, count: int) -> list[Any]:
    """What is told of each of so many results."""
    if told is None or isinstance(told, torch.device):
        return [told] * count
    flat = tree_flatten(told)[0]
    return flat if len(flat) == count else [None] * count


def _copy(name: str, args: Any, kwargs: Any, flat: list[Any]) -> str:
    """What kind of wait a copy is: none where it stays on the device or goes on in the background."""
    source = args[1] if name == "copy_" else args[0]
    if name == "copy_":
        target = "cuda" if isinstance(args[0], OnGpu) else "cpu"
    else:
        device = next((each for each in flat if isinstance(each, torch.device)), None)
        other = next((each for each in args[1:] if isinstance(each, torch.Tensor)), None)
        target = str(device.type if device else (other.device.type if other is not None else ""))
    waits = not (kwargs.get("non_blocking") or True in args[2:3])
    if isinstance(source, OnGpu) and target == "cpu":
        return "copy back"
    if not isinstance(source, OnGpu) and target == "cuda" and waits:
        return "copy there"
    return ""


def _caller() -> str:
    """Where clipneuron's own code has asked for it."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        file = frame.f_code.co_filename
        if "/clipneuron/" in file and "/tests/" not in file:
            return f"{file.rpartition('/clipneuron/')[2]}:{frame.f_lineno}"
        frame = frame.f_back
    return "elsewhere"
