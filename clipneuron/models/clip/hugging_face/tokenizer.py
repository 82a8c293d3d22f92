"""The tokenizer in a folder of Hugging Face's: open_clip's own, with the folder's words.

open_clip's and transformers' tokenizers give equal tokens for equal vocabularies, but for what open_clip cleans besides
(HTML entities, mistaken encodings). So transformers is needed only for a vocabulary that is built in another way.
"""

import gzip
from collections.abc import Callable, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

from open_clip.tokenizer import HFTokenizer, SimpleTokenizer

from clipneuron.models.clip.weights.reading import read_json

_FILES = ("tokenizer.json", "vocab.json")
_SPECIAL = {
    "<|startoftext|>": "<start_of_text>",
    "<|endoftext|>": "<end_of_text>",
}
"""What transformers and open_clip call the same two tokens."""


def tokenizer_in(folder: Path, text: dict[str, Any]) -> Callable[[], Any]:
    """What makes the folder's tokenizer for a text tower of this configuration; OpenAI's where the folder has none.

    Made, it raises ValueError for a vocabulary that does not fit the tower.
    """
    return partial(_made, folder, text["max_position_embeddings"], text["eos_token_id"])


def openai_tokenizer(text: dict[str, Any]) -> Callable[[], Any]:
    """What makes OpenAI's tokenizer for a text tower of this configuration.

    Made, it raises ValueError for a tower that ends its texts in another way.
    """
    return partial(
        _openai, text["max_position_embeddings"], text["eos_token_id"], "OpenAI's tokenizer"
    )


def _made(folder: Path, context: int, eos: int) -> Any:
    if not any((folder / name).is_file() for name in _FILES):
        return _openai(context, eos, f"no tokenizer is in {folder}; OpenAI's")
    vocabulary, merges = _words(folder)
    own = _simple(merges, context)
    renamed = {_SPECIAL.get(word, word): number for word, number in vocabulary.items()}
    if own.encoder == renamed:
        _check_end(own.eot_token_id, eos, f"the tokenizer in {folder}")
        return own
    return _transformers(folder, context, eos)


def _openai(context: int, eos: int, source: str) -> Any:
    tokenizer = SimpleTokenizer(context_length=context)
    _check_end(tokenizer.eot_token_id, eos, source)
    return tokenizer


def _words(folder: Path) -> tuple[dict[str, int], list[str]]:
    """The vocabulary, and the pairs that are merged, in their order."""
    whole = folder / "tokenizer.json"
    if whole.is_file():
        found = read_json(whole)
        model = found.get("model", {})
        merges = [
            pair if isinstance(pair, str) else " ".join(pair) for pair in model.get("merges", [])
        ]
        added = {item["content"]: item["id"] for item in found.get("added_tokens", [])}
        return model.get("vocab", {}) | added, merges
    lines = (folder / "merges.txt").read_text(encoding="utf-8").split("\n")
    return read_json(folder / "vocab.json"), [line for line in lines[1:] if line]


def _simple(merges: Sequence[str], context: int) -> Any:
    file = BytesIO(gzip.compress("\n".join(["#version: 0.2", *merges]).encode(), mtime=0))
    return SimpleTokenizer(bpe_path=file, context_length=context)


def _transformers(folder: Path, context: int, eos: int) -> Any:
    try:
        tokenizer = HFTokenizer(str(folder), context_length=context)
    except ImportError as error:
        raise ValueError(
            f"the tokenizer in {folder} is not CLIP's: reading it takes transformers, pip install "
            "clipneuron[generation]"
        ) from error
    _check_end(tokenizer.tokenizer.eos_token_id, eos, f"the tokenizer in {folder}")
    return tokenizer


def _check_end(found: int | None, expected: int, source: str) -> None:
    """Texts are pooled where they end; without that token all of them would be pooled at their first."""
    if expected not in (found, 2):
        raise ValueError(
            f"{source} ends texts with token {found}, and the model's configuration says {expected} (eos_token_id): "
            "give the model's own tokenizer"
        )
