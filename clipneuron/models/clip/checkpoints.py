"""Where a network comes from: an open_clip name and tag, a file, a folder, or the shipped demo."""

import logging
import os
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.model import CLIPVisionCfg, _build_vision_tower
from open_clip.pretrained import get_pretrained_cfg
from safetensors import SafetensorError

from clipneuron.models.clip.towers import check_tower
from clipneuron.models.places import UnavailableError, look_for

logger = logging.getLogger(__name__)

# Texts -> token ids [text, context].
Tokenizer = Callable[[list[str]], torch.Tensor]

CONFIG = "open_clip_config.json"
MERGES = "bpe_vocab.txt.gz"


@dataclass(frozen=True)
class LoadedNetwork:
    """A network with its name and its tokenizer, which is made on first use."""

    name: str
    network: Any
    tokenizer: Callable[[], Tokenizer]


def open_network(
    model: str | os.PathLike[str],
    pretrained: str | os.PathLike[str] | None,
    force_quick_gelu: bool | None,
    cache_dir: str | None,
) -> LoadedNetwork:
    """The network that `load_clip`'s arguments name; ValueError where they name none."""
    text = os.fspath(model)
    name = text.replace("/", "-")  # OpenAI writes ViT-B/32, open_clip ViT-B-32
    if name in open_clip.list_models():
        return _named(name, _weights_of(name, pretrained), force_quick_gelu, cache_dir)
    if pretrained is not None and (text == "demo" or _is_address(text)):
        raise ValueError(f"{text!r} brings its own weights: leave out pretrained={pretrained!r}")
    if text == "demo":
        return _folder(
            Path(str(files("clipneuron"))) / "demo" / "weights", "demo", force_quick_gelu
        )
    if text.startswith("hf-hub:"):
        _look_for(text.removeprefix("hf-hub:"), text, text, cache_dir)
        network = _create(text, text, force_quick_gelu, cache_dir=cache_dir)
        return LoadedNetwork(text, network, partial(open_clip.get_tokenizer, text))
    if _is_address(text):
        folder = Path(text.removeprefix("local-dir:"))
        return _folder(folder, folder.resolve().name, force_quick_gelu)
    raise ValueError(_unknown(text))


def _is_address(text: str) -> bool:
    return text.startswith(("local-dir:", "hf-hub:")) or Path(text).is_dir()


def _unknown(text: str) -> str:
    if Path(text).is_file():
        return (
            f"{text!r} is a file: name its architecture too, as in "
            f"load_clip('ViT-B-32', pretrained={text!r})"
        )
    close = get_close_matches(text, open_clip.list_models(), n=5, cutoff=0.4)
    return (
        f"unknown model {text!r}: expected an open_clip architecture (close: "
        f"{', '.join(close) or 'none'}), a folder with {CONFIG}, or 'demo'; "
        "open_clip.list_models() lists all architectures"
    )


def _weights_of(name: str, pretrained: str | os.PathLike[str] | None) -> str:
    """The tag or file, after checking that open_clip will know it."""
    tags = open_clip.list_pretrained_tags_by_model(name)
    known = f"tags of {name}: {', '.join(tags) or 'none'}; or give the path of a checkpoint"
    if pretrained is None:
        raise ValueError(f"{name} needs weights: pass pretrained=; {known}")
    weights = os.fspath(pretrained)
    if not get_pretrained_cfg(name, weights) and not Path(weights).is_file():
        raise ValueError(f"{weights!r} is neither a known tag nor a file; {known}")
    return weights


def _named(
    name: str, weights: str, force_quick_gelu: bool | None, cache_dir: str | None
) -> LoadedNetwork:
    config = open_clip.get_model_config(name)
    _check_architecture(config)
    tag = get_pretrained_cfg(name, weights)
    if force_quick_gelu is None and not config.get("quick_gelu", False):
        force_quick_gelu = _trained_with_quick_gelu(tag, weights)
    title = f"{name} with {weights!r}"
    if hub := tag.get("hf_hub"):
        _look_for("/".join(hub.split("/")[:2]), name, title, cache_dir)
    network = _create(
        name,
        title,
        force_quick_gelu,
        pretrained=weights,
        weights_only=bool(tag) or not _is_torchscript(weights),
        cache_dir=cache_dir,
    )
    return LoadedNetwork(f"{name}/{weights}", network, partial(open_clip.get_tokenizer, name))


def _check_architecture(config: dict[str, Any]) -> None:
    """Refuse a tower that the method does not cover, before any weights are downloaded."""
    vision = CLIPVisionCfg(**config["vision_cfg"])
    with torch.device("meta"):
        check_tower(_build_vision_tower(config["embed_dim"], vision))


def _trained_with_quick_gelu(tag: dict[str, Any], weights: str) -> bool | None:
    """True where the weights are known to need QuickGELU although the architecture's name has GELU.

    open_clip only warns, and then computes both towers with the wrong activation.
    """
    needed = tag.get("quick_gelu", False) or (not tag and _is_openai_archive(weights))
    if not needed:
        return None
    logger.info("%s was trained with QuickGELU: using it in both towers", weights)
    return True


def _is_openai_archive(path: str) -> bool:
    """Whether this is one of OpenAI's own files, which carry three extra entries and no config."""
    if not _is_torchscript(path):
        return False
    load: Any = torch.jit.load
    entries = load(path, map_location="cpu").state_dict()
    return {"input_resolution", "context_length", "vocab_size"} <= set(entries)


def _is_torchscript(path: str) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(Path(entry).name == "constants.pkl" for entry in archive.namelist())


def _folder(folder: Path, name: str, force_quick_gelu: bool | None) -> LoadedNetwork:
    if not (folder / CONFIG).is_file():
        raise ValueError(f"{folder} is not a model folder: it contains no {CONFIG}")
    address = f"local-dir:{folder}"
    network = _create(address, str(folder), force_quick_gelu)
    merges = folder / MERGES
    options = {"bpe_path": str(merges)} if merges.is_file() else {}
    return LoadedNetwork(name, network, partial(open_clip.get_tokenizer, address, **options))


def _look_for(repository: str, address: str, title: str, cache_dir: str | None) -> None:
    """ConnectionError, in seconds, where the hub has no such model or does not answer: its client takes minutes."""
    if cache_dir is not None:
        return  # another cache than the hub's own, which may have it
    try:
        look_for(repository, what="model", field="recipe.model")
    except UnavailableError as error:
        raise ConnectionError(_how_to_go_offline(address, title, error)) from error


def _create(address: str, title: str, force_quick_gelu: bool | None, **options: Any) -> Any:
    """open_clip's network, never with random weights; its errors are shortened to a sentence."""
    if force_quick_gelu is not None:
        # the model's own keyword can also switch QuickGELU off; the flag silences a false warning
        options |= {"quick_gelu": force_quick_gelu, "force_quick_gelu": force_quick_gelu}
    try:
        return open_clip.create_model(address, require_pretrained=True, **options)
    except (RuntimeError, pickle.UnpicklingError, SafetensorError, EOFError) as error:
        if "download" in str(error) or "HF Hub" in str(error):
            raise ConnectionError(_how_to_go_offline(address, title, error)) from error
        raise ValueError(f"could not load {title}: {_first_lines(error)}") from error


def _how_to_go_offline(address: str, title: str, error: Exception) -> str:
    return (
        f"could not download {title}: {_first_lines(error).rstrip('.')}. Without a connection, fetch the "
        f"checkpoint elsewhere and pass its path: load_clip({address!r}, pretrained='/path/to/file'), or "
        "`recipe.pretrained` as that path in a run; for OpenAI's weights in another format than their "
        "own archive use the architecture's -quickgelu name"
    )


def _first_lines(error: Exception) -> str:
    """The first lines of an error: one about a state dict that does not fit lists every key."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:3])[:600]
