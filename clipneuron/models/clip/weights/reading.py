"""The tensors of a checkpoint, from one file or from a folder's, in whatever of torch's formats."""

import json
import logging
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from clipneuron.models.clip.weights.kinds import kind_of, no_weights

_LOG = logging.getLogger(__name__)

_PREFERRED = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "pytorch_model.pth",
    "model.pth",
)
_INDEX = ".index.json"

_WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "network", "net", "weights")
"""Under which of these a training program keeps the state dict, among epochs and optimizers."""

_OPENAI_EXTRAS = {"input_resolution", "context_length", "vocab_size"}
"""What OpenAI's own archives hold besides the network."""


@dataclass(frozen=True)
class Weights:
    """Tensors under the names that their file gives them."""

    path: Path
    tensors: dict[str, Tensor]
    is_openai_archive: bool = False


def read_file(path: Path) -> Weights:
    """The weights in a file; raises ValueError, which says what else the file holds."""
    kind = kind_of(path)
    try:
        if kind == "safetensors":
            return Weights(path, load_file(path, device="cpu"))
        if kind == "torchscript":
            return _torchscript(path)
        return Weights(path, _state_dict(torch.load(path, "cpu", weights_only=True), path))
    except pickle.UnpicklingError as error:
        raise _not_weights_alone(path, error) from error
    except (RuntimeError, SafetensorError, EOFError, KeyError, OSError) as error:
        raise ValueError(
            f"could not load {path}: it is damaged ({_first_line(error)}); copy it again"
        ) from error


def read_folder(folder: Path) -> Weights:
    """The weights in a model's folder, of all files where an index names several; raises ValueError."""
    path = _file_of(folder)
    if not path.name.endswith(_INDEX):
        return read_file(path)
    files = read_json(path).get("weight_map")
    if not isinstance(files, dict) or not files:
        raise ValueError(f"{path} is no index of weights: expected an object `weight_map`")
    parts = sorted({str(name) for name in files.values()})
    missing = [name for name in parts if not (folder / name).is_file()]
    if missing:
        raise ValueError(
            f"could not load {folder}: it lacks {len(missing)} of the {len(parts)} files that {path.name} names, first "
            f"{missing[0]}"
        )
    tensors: dict[str, Tensor] = {}
    for name in parts:
        tensors |= read_file(folder / name).tensors
    return Weights(path, tensors)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; ValueError with file and line where it is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path}, line {error.lineno}, column {error.colno}: no valid JSON ({error.msg})"
        ) from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no JSON: it is not text in UTF-8") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds a {type(found).__name__}: expected a JSON object")
    return found


def _file_of(folder: Path) -> Path:
    named = (folder / name for name in _PREFERRED)
    preferred = next((path for path in named if path.is_file()), None)
    if preferred:
        return preferred
    others = [path for suffix in ("safetensors", "bin", "pth") for path in _with(folder, suffix)]
    if not others:
        raise ValueError(
            f"could not load {folder}: it holds no weights; expected one of {', '.join(_PREFERRED[::2])}, found "
            f"{_contents(folder)}"
        )
    if len(others) > 1:
        _LOG.warning("%s holds %d files of weights: reading %s", folder, len(others), others[0])
    return others[0]


def _with(folder: Path, suffix: str) -> list[Path]:
    return sorted(path for path in folder.glob(f"*.{suffix}") if path.name[:8] != "adapter_")


def _contents(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    if "adapter_config.json" in names:
        return "an adapter (PEFT, LoRA): merge it into its model first (`merge_and_unload`) and save that"
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return (", ".join(names[:5]) or "nothing") + more


def _torchscript(path: Path) -> Weights:
    load: Any = torch.jit.load
    entries: dict[str, Tensor] = load(path, map_location="cpu").state_dict()
    kept = {name: tensor for name, tensor in entries.items() if name not in _OPENAI_EXTRAS}
    return Weights(path, kept, is_openai_archive=set(entries) >= _OPENAI_EXTRAS)


def _state_dict(found: object, path: Path) -> dict[str, Tensor]:
    """The one state dict in what torch.load has read."""
    if not isinstance(found, Mapping):
        raise no_weights(path, f"a saved {type(found).__name__}, no state dict")
    inner = {name: _tensors(found[name]) for name in _WRAPPERS if name in found}
    states = {name: state for name, state in inner.items() if state}
    if len(states) > 1:
        raise ValueError(
            f"could not load {path}: it holds several state dicts ({', '.join(states)}); save the one that is meant by "
            "itself"
        )
    state = next(iter(states.values()), _tensors(found))
    if not state:
        raise no_weights(path, _contents_of(found))
    return state


def _tensors(found: object) -> dict[str, Tensor]:
    """The tensors of a state dict, or nothing where it is none."""
    if not isinstance(found, Mapping):
        return {}
    return {f"{name}": value for name, value in found.items() if isinstance(value, Tensor)}


def _contents_of(found: Mapping[Any, Any]) -> str:
    if {"state", "param_groups"} <= set(found):
        return "an optimizer's state"
    names = ", ".join(f"{name}" for name in list(found)[:3]) or "nothing"
    return f"a saved dictionary without a state dict ({names})"


def _not_weights_alone(path: Path, error: pickle.UnpicklingError) -> ValueError:
    """PyTorch's own words are advice to run whatever the file holds."""
    named = re.findall(r"GLOBAL (\w+(?:\.\w+)+)", str(error))
    if not named:
        return ValueError(
            f"could not load {path}: it is damaged, or torch.save did not write it; copy it again"
        )
    return ValueError(
        f"could not load {path}: beside weights it holds Python objects ({', '.join(dict.fromkeys(named))}), and "
        "reading such could run anything; save the weights alone where it was made, "
        "torch.save(model.state_dict(), PATH)"
    )


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines[:1])[:200]}".rstrip(".")
