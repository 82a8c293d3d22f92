"""Lists in the answers of language models, read strictly: only what is marked as an item counts."""

import re

from clipneuron.models.language.thoughts import spoken

_ITEM = re.compile(
    r"""
    (?P<indent>\s*) (?:>\s?)*                                   # perhaps inside a quotation
    (?P<open>(?:\*\*|__|\*|_)(?=[\[(\#]?\d))?                   # of an emphasised number
    (?:
        [\[(]\d{1,3}[\])] | \#\d{1,3}(?!\d)[.:)]?               # (1) [1] #1
      | \d{1,3}\s*\\?[.)\]](?!\d) | \d{1,3}\s*[:\-–—](?=\s)     # 1. 1) 1: 1 -
      | (?:\d\ufe0f?\u20e3)+                                    # a number on keys
      | [•·‣▪●◦] | [-*+–—](?=\s|$)
    )
    (?(open)(?P<close>\*\*|__|\*|_)?)
    \s*(?P<text>.*)
    """,
    re.VERBOSE,
)
_NOTE = re.compile(r"\s*[\[(]\s*(?:note|n\.b\.|e\.g\.|i\.e\.)(?!\w).*[\])]\s*$", re.IGNORECASE)
_LABEL = re.compile(r"(\*\*|__|\*|_)[^*_]+:\1\s+(?=\S)")
_MARKS = ("***", "**", "__", "*", "_", "`")
_QUOTES = {'"': '"', "“": "”", "‘": "’", "'": "'", "«": "»", "„": "“"}
_WRAPS = dict(zip(_MARKS, _MARKS, strict=True)) | _QUOTES
_EMPHASIS = re.compile(r"(\*\*\*|\*\*|__|\*)(?=\S)(.+?)(?<=\S)\1")
_REMARK = re.compile(r"[.,;]?\s*(?:$|[-–—:(]\s*.*$)")
"""What may follow a quoted or emphasised text: nothing, or an explanation of it."""


def parsed(answer: str) -> list[str]:
    """The items of an answer's lists, without marks, quotes, emphasis and remarks about them.

    Items are lines that begin with a number or a bullet of any style; what stands before, between and
    after them is not read. An item that introduces others (it ends in ":" or has deeper ones below
    it) is a heading. An item without any text is "". What a reasoning model thinks before is not read either.

    >>> parsed("Sure! Here they are:\\n1. **Soft fur** - it has hair\\n2) “Long tail”\\nHope it helps!")
    ['Soft fur', 'Long tail']
    """
    lines = spoken(answer).splitlines()
    items = [match for line in lines if (match := _ITEM.fullmatch(line))]
    depths = [len(item["indent"].expandtabs(4)) for item in items]
    next_depths = [*depths[1:], 0]
    return [
        _bare(item)
        for item, depth, below in zip(items, depths, next_depths, strict=False)
        if below <= depth and not item["text"].rstrip("*_ ").endswith(":")
    ]


def _bare(item: re.Match[str]) -> str:
    """The text itself: what is quoted or emphasised, if it begins so, otherwise all but a label and a note."""
    unclosed = item["open"] if item["open"] and not item["close"] else ""
    text = _NOTE.sub("", unclosed + item["text"].strip())
    text, before = _LABEL.sub("", text, count=1) if _LABEL.match(text) else text, None
    while text != before:
        before, text = text, _unwrapped(text)
    return " ".join(_EMPHASIS.sub(r"\2", text).split())


def _unwrapped(text: str) -> str:
    for left, right in _WRAPS.items():
        if text.startswith(left) and (end := _closing(text, left, right)) > 0:
            return text[len(left) : end].strip()
    return text


def _closing(text: str, left: str, right: str) -> int:
    """Where the mark that opens the text closes it, if only a remark follows; otherwise -1."""
    end = text.find(right, len(left))
    while end > 0 and not _REMARK.fullmatch(text[end + len(right) :]):
        end = text.find(right, end + 1)
    return end
