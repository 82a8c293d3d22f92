"""Where a network comes from: an open_clip name and tag, a file, a folder, or the shipped demo."""

import logging
import os
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
from open_clip.pretrained import download_pretrained, get_pretrained_cfg

from clipneuron.models.clip.hugging_face import hub
from clipneuron.models.clip.hugging_face import network as hugging_face
from clipneuron.models.clip.hugging_face.tokenizer import openai_tokenizer, tokenizer_in
from clipneuron.models.clip.timm_towers import check_image_tower
from clipneuron.models.clip.weights.filling import build, check_texts_too, fill
from clipneuron.models.clip.weights.layouts import is_hugging_face, open_clip_names
from clipneuron.models.clip.weights.reading import Weights, read_file, read_folder, read_json
from clipneuron.models.places import look_for

logger = logging.getLogger(__name__)

# Texts -> token ids [text, context].
Tokenizer = Callable[[list[str]], torch.Tensor]

CONFIG = hub.OPEN_CLIP
MERGES = "bpe_vocab.txt.gz"
_ON_HUB = "hf-hub:"
_IN_FOLDER = "local-dir:"


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
    if name := _architecture(text):
        return _named(name, _weights_of(name, pretrained), force_quick_gelu, cache_dir)
    if pretrained is not None and (text == "demo" or _is_address(text)):
        raise ValueError(f"{text!r} brings its own weights: leave out pretrained={pretrained!r}")
    if text == "demo":
        return _folder(
            Path(str(files("clipneuron"))) / "demo" / "weights", "demo", force_quick_gelu
        )
    if text.startswith(_ON_HUB):
        return _on_hub(text, force_quick_gelu, cache_dir)
    if _is_address(text):
        folder = Path(text.removeprefix(_IN_FOLDER))
        return _folder(folder, folder.resolve().name, force_quick_gelu)
    raise ValueError(_unknown(text))


def named_in(spec: str) -> tuple[str, str | None]:
    """The model that one word names, and its weights after a colon: `ViT-B-32:openai`, `hf-hub:OWNER/NAME`."""
    if _is_address(spec):
        return spec, None
    model, _, pretrained = spec.partition(":")
    return model, pretrained or None


def check_named(model: str, pretrained: str | None) -> None:
    """Raises ValueError, before anything is fetched, where open_clip has no such architecture or weights for it.

    For names alone: "demo", folders and models of the hub are for others to look after.
    """
    if name := _architecture(model):
        _weights_of(name, pretrained)
    elif model != "demo" and not _is_address(model):
        raise ValueError(_unknown(model))


def check_available(model: str, pretrained: str | None) -> None:
    """Looks in seconds for what `load_clip` would fetch by name, and fetches nothing.

    Raises ValueError where open_clip knows no such names, UnavailableError where the hub does not have the weights of a
    tag, or does not answer. Weights that open_clip has from elsewhere are taken to be there.
    """
    check_named(model, pretrained)
    if (name := _architecture(model)) and (
        repository := _repository(get_pretrained_cfg(name, pretrained))
    ):
        look_for(repository, what=f"weights {pretrained!r}", field="recipe.pretrained")


def from_transformers(model: Any) -> LoadedNetwork:
    """A CLIPModel of Hugging Face's in memory, as a network of open_clip's; ValueError for other models."""
    texts = hugging_face.text_settings(model.config.to_dict())
    return LoadedNetwork(
        type(model).__name__, hugging_face.network_of(model), openai_tokenizer(texts)
    )


def _architecture(text: str) -> str | None:
    """open_clip's name of an architecture; None for what is none."""
    name = text.replace("/", "-")  # OpenAI writes ViT-B/32, open_clip ViT-B-32
    return name if name in open_clip.list_models() else None


def _is_address(text: str) -> bool:
    return text.startswith((_IN_FOLDER, _ON_HUB)) or Path(text).is_dir()


def _unknown(text: str) -> str:
    if Path(text).is_file():
        beside = Path(text).parent
        if (beside / hugging_face.CONFIG).is_file() or (beside / CONFIG).is_file():
            return (
                f"{text!r} is a file: give the folder that it lies in, load_clip({f'{beside}'!r})"
            )
        return (
            f"{text!r} is a file: name its architecture too, as in "
            f"load_clip('ViT-B-32', pretrained={text!r})"
        )
    close = get_close_matches(text, open_clip.list_models(), n=5, cutoff=0.4)
    on_hub = f", or {_ON_HUB}{text} for that model on the hub" if text.count("/") == 1 else ""
    return (
        f"unknown model {text!r}: expected an open_clip architecture (close: "
        f"{', '.join(close) or 'none'}), a folder with {CONFIG} or a CLIPModel's {hugging_face.CONFIG}, "
        f"'demo'{on_hub}; open_clip.list_models() lists all architectures"
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
    _check_architecture(config, name)
    tag = get_pretrained_cfg(name, weights)
    title = f"{name} with {weights!r}"
    found = read_file(_downloaded(tag, name, title, cache_dir) if tag else Path(weights))
    if force_quick_gelu is None and not config.get("quick_gelu", False):
        force_quick_gelu = _trained_with_quick_gelu(tag, found)
    network = build(config, tag, force_quick_gelu, name)
    fill(network, open_clip_names(found.tensors, found.path), title)
    return LoadedNetwork(f"{name}/{weights}", network, partial(open_clip.get_tokenizer, name))


def _check_architecture(config: dict[str, Any], name: str) -> None:
    """Refuse a model that the method does not cover, before any weights are downloaded."""
    vision = CLIPVisionCfg(**config["vision_cfg"])
    with torch.device("meta"):
        check_image_tower(_build_vision_tower(config["embed_dim"], vision))
    check_texts_too(config, name)


def _repository(tag: dict[str, Any]) -> str:
    """Where the hub has the weights of a tag, as owner/name; "" where they are from elsewhere."""
    return "/".join(str(tag.get("hf_hub", "")).split("/")[:2])


def _downloaded(tag: dict[str, Any], name: str, title: str, cache_dir: str | None) -> Path:
    try:
        if repository := _repository(tag):
            _look_for(repository, cache_dir)
        return Path(download_pretrained(tag, cache_dir=cache_dir))
    except (OSError, RuntimeError) as error:  # open_clip raises both
        raise ConnectionError(
            f"could not download {title}: {_first_lines(error)}. Without a connection, fetch the checkpoint elsewhere "
            f"and pass its path: load_clip({name!r}, pretrained='/path/to/file'), or `recipe.pretrained` as that path "
            "in a run; for OpenAI's weights in another format than their own archive use the architecture's "
            "-quickgelu name"
        ) from error


def _trained_with_quick_gelu(tag: dict[str, Any], weights: Weights) -> bool | None:
    """True where the weights are known to need QuickGELU although the architecture's name has GELU.

    open_clip itself only warns, and then computes both towers with the wrong activation.
    """
    needed = tag.get("quick_gelu", False) or (not tag and weights.is_openai_archive)
    if not tag and is_hugging_face(weights.tensors):
        needed = hugging_face.activation_beside(weights.path)
    if not needed:
        return None
    logger.info("%s was trained with QuickGELU: using it in both towers", weights.path)
    return True


def _folder(folder: Path, name: str, force_quick_gelu: bool | None) -> LoadedNetwork:
    config = folder / CONFIG
    if config.is_file():
        network = _open_clip_network(
            config, lambda: read_folder(folder), f"{folder}", force_quick_gelu
        )
        merges = folder / MERGES
        options = {"bpe_path": str(merges)} if merges.is_file() else {}
        make = partial(open_clip.get_tokenizer, f"{_IN_FOLDER}{folder}", **options)
        return LoadedNetwork(name, network, make)
    if (folder / hugging_face.CONFIG).is_file():
        network = hugging_face.network_in(folder, force_quick_gelu)
        texts = hugging_face.text_settings(read_json(folder / hugging_face.CONFIG))
        return LoadedNetwork(name, network, tokenizer_in(folder, texts))
    raise ValueError(
        f"{folder} is not a model folder: it contains no {CONFIG}, and no {hugging_face.CONFIG} of a CLIPModel"
    )


def _on_hub(address: str, force_quick_gelu: bool | None, cache_dir: str | None) -> LoadedNetwork:
    model = address.removeprefix(_ON_HUB)
    _look_for(model, cache_dir)
    try:
        found = hub.open_clip_files(model, cache_dir)
        folder = None if found else hub.transformers_folder(model, cache_dir)
    except (OSError, RuntimeError) as error:
        raise ConnectionError(
            f"could not download {address}: {_first_lines(error)}. Without a connection, fetch the repository "
            "elsewhere and give the path of its folder"
        ) from error
    if found:
        config, weights = found
        network = _open_clip_network(config, lambda: read_file(weights), address, force_quick_gelu)
        return LoadedNetwork(address, network, partial(open_clip.get_tokenizer, address))
    assert folder
    return _folder(folder, address, force_quick_gelu)


def _look_for(repository: str, cache_dir: str | None) -> None:
    """UnavailableError, in seconds, where the hub has no such model or does not answer: its client takes minutes."""
    if cache_dir is None:  # another cache than the hub's own may have it
        look_for(repository, what="model", field="recipe.model")


def _open_clip_network(
    config: Path, read: Callable[[], Weights], title: str, force_quick_gelu: bool | None
) -> Any:
    """The network of an open_clip_config.json; its weights are read once the configuration is found to be good."""
    settings = read_json(config)
    wanted = settings.get("model_cfg")
    if not isinstance(wanted, dict):
        raise ValueError(f"{config} is no open_clip configuration: it has no object `model_cfg`")
    network = build(wanted, settings.get("preprocess_cfg") or {}, force_quick_gelu, f"{config}")
    weights = read()
    fill(network, open_clip_names(weights.tensors, weights.path), title)
    return network


def _first_lines(error: Exception) -> str:
    """The first lines of an error, of which downloads have many."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:3])[:600].rstrip(".")
