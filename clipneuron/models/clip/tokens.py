"""Texts of the zero-shot classifier, and checks that a tokenizer fits the text tower that it feeds."""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Int
from open_clip import IMAGENET_CLASSNAMES, OPENAI_IMAGENET_TEMPLATES, SimpleTokenizer
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
    if tokens.shape[1] != context:
        raise ValueError(
            f"the tokenizer makes {tokens.shape[1]} tokens of a text and the text tower reads "
            f"{context}: make the tokenizer with context_length={context}"
        )
    return tokens


def _context(network: Any) -> int:
    return int(network.context_length)
