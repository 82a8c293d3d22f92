"""Models on the Hugging Face hub: which of their files are fetched, by open_clip's or by transformers' names."""

from pathlib import Path

from huggingface_hub import hf_hub_download, snapshot_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from open_clip.pretrained import download_pretrained_from_hf

from clipneuron.models.clip.hugging_face.network import CONFIG

OPEN_CLIP = "open_clip_config.json"

_FEW = ("*.json", "*.txt")
_WEIGHTS = (
    ("model.safetensors", "model-*.safetensors"),
    ("pytorch_model.bin", "pytorch_model-*.bin"),
)
"""In the order of preference."""


def open_clip_files(model: str, cache_dir: str | None) -> tuple[Path, Path] | None:
    """open_clip's configuration and weights of a repository, fetched; None where it has no such configuration.

    Raises OSError where they cannot be fetched.
    """
    config = _fetched(model, OPEN_CLIP, cache_dir)
    if config is None:
        return None
    return config, Path(download_pretrained_from_hf(model, cache_dir=cache_dir))


def transformers_folder(model: str, cache_dir: str | None) -> Path:
    """A folder with a CLIPModel's files, fetched where they are not here; raises OSError."""
    folder = Path()
    for names in _WEIGHTS:
        patterns = [*_FEW, *names]
        folder = Path(snapshot_download(model, allow_patterns=patterns, cache_dir=cache_dir))
        if any(path.match(name) for path in folder.iterdir() for name in names):
            break
    return folder


def _fetched(model: str, name: str, cache_dir: str | None) -> Path | None:
    try:
        return Path(hf_hub_download(model, name, cache_dir=cache_dir))
    except LocalEntryNotFoundError:
        # Without a connection nobody knows whether the file exists: what transformers has left here can be read.
        hf_hub_download(model, CONFIG, cache_dir=cache_dir, local_files_only=True)
        return None
    except EntryNotFoundError:
        return None
