"""Texts of the zero-shot classifier; whether a tokenizer fits its text tower, and what the tower reads of a text."""

import html
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from jaxtyping import Int
from open_clip import (
    IMAGENET_CLASSNAMES,
    OPENAI_IMAGENET_TEMPLATES,
    SimpleTokenizer,
)
from open_clip.tokenizer import HFTokenizer
from torch import Tensor

from clipneuron.models.clip.checkpoints import Tokenizer

# The 80 templates and 1000 class names of the CLIP paper (Radford et al. 2021, section 3.1.4), as
# open_clip ships them from OpenAI's "Prompt Engineering for ImageNet" notebook.
IMAGENET_TEMPLATES: tuple[str, ...] = tuple(write("{}") for write in OPENAI_IMAGENET_TEMPLATES)
IMAGENET_CLASSES: tuple[str, ...] = tuple(IMAGENET_CLASSNAMES)


def fill_templates(class_names: Sequence[str], templates: Sequence[str]) -> list[str]:
    """Every class in every template; all templates of the first class come first."""
    if isinstance(class_names, str) or isinstance(templates, str):
        raise ValueError("expected lists of class names and of templates, got one string")
    wrong = [template for template in templates if "{}" not in template]
    if wrong or not templates:
        raise ValueError(f"every template needs a {{}} for the class name: {wrong or 'none given'}")
    return [template.replace("{}", name) for name in class_names for template in templates]


def default_tokenizer(network: Any) -> Tokenizer:
    """open_clip's tokenizer with the context length of an in-memory network."""
    tokenizer: Tokenizer = SimpleTokenizer(context_length=_context(network))
    return tokenizer


def tokenize(
    tokenizer: Tokenizer, texts: Sequence[str], network: Any
) -> Int[Tensor, "text context"]:
    """Token ids that the text tower can read; ValueError where the tokenizer does not fit the tower."""
    tokens = tokenizer(list(texts))
    vocabulary, context = network.vocab_size, _context(network)
    known = getattr(tokenizer, "vocab_size", 0)
    if max(known, int(tokens.max()) + 1) > vocabulary:
        raise ValueError(
            f"the tokenizer knows {known} tokens and the text tower only {vocabulary}: they do not "
            "belong together; pass the model's own as load_clip(..., tokenizer=)"
        )
    read = tokens.shape[1]
    if read != context and (_is_fixed(network) or read > context > 0):
        raise ValueError(
            f"the tokenizer makes {read} tokens of a text and the text tower reads "
            f"{context}: make the tokenizer with context_length={context}"
        )
    return tokens


class Reading(NamedTuple):
    """What a text tower does not read of some texts: it has a fixed number of tokens, and case may not matter to it."""

    context: int
    """Tokens that are read, marks of beginning and end included."""
    cut: dict[str, int]
    """Texts whose end is not read, and how many tokens each has."""
    twins: dict[str, str]
    """Texts whose tokens are those of an earlier text, and that text: they have one embedding."""


def reading(tokenizer: Tokenizer, texts: Sequence[str], network: Any) -> Reading:
    """What the text tower does not read of these texts, of which most are not even tokenised; raises as `tokenize`."""
    fixed = _is_fixed(network)
    context = _context(network) if fixed else tokenize(tokenizer, [""], network).shape[1]
    suspects = _suspects(texts, context)
    if not suspects:
        return Reading(context, {}, {})
    tokens = tokenize(tokenizer, ["", *suspects], network)
    filler = tokens[0, -1]
    cut, twins, seen = {}, {}, dict[bytes, str]()
    for text, row in zip(suspects, tokens[1:], strict=True):
        first = seen.setdefault(row.numpy().tobytes(), text)
        if first != text:
            twins[text] = first
        if row[-1] != filler and (count := _count(tokenizer, text, context)) > context:
            cut[text] = count
    return Reading(context, cut, twins)


def _suspects(texts: Sequence[str], context: int) -> list[str]:
    """Texts that may be too long, a token being a byte at least, and those that differ in little from another."""
    cores = [_core(text) for text in texts]
    number = Counter(cores)
    return [
        text
        for text, core in zip(texts, cores, strict=True)
        if number[core] > 1 or len(text.encode()) >= context - 2
    ]


def _core(text: str) -> str:
    """What no tokenizer passes over: letters and digits, without accents and case."""
    plain = unicodedata.normalize("NFKD", html.unescape(text)).casefold()
    return "".join(filter(str.isalnum, plain))


def _count(tokenizer: Tokenizer, text: str, context: int) -> int:
    """Tokens of the whole text; one more than are read, where the tokenizer does not tell."""
    if isinstance(tokenizer, SimpleTokenizer):
        return len(tokenizer.encode(text)) + 2
    if isinstance(tokenizer, HFTokenizer):
        return len(tokenizer.tokenizer(tokenizer.clean_fn(text)).input_ids)
    return context + 1


def _context(network: Any) -> int:
    return int(network.context_length)


def _is_fixed(network: Any) -> bool:
    """Whether the tower reads as many tokens as it has positions, as open_clip's own do.

    Towers of Hugging Face's read up to as many as their configuration says, or any number where it says 0.
    """
    return hasattr(getattr(network, "text", network), "positional_embedding")
