"""What a reasoning model thinks before it answers, which is no part of its answer."""

import re

_WORDS = (
    "think|thinking|thought|thoughts|reasoning|reason|reflection|scratchpad|analysis|seed:think"
)
_PAIRS = (
    (rf"<(?:{_WORDS})(?:\s[^<>]*)?>", rf"</(?:{_WORDS})\s*>"),  # DeepSeek, Qwen, Seed and others
    (r"\[THINK\]", r"\[/THINK\]"),  # Magistral
    (r"◁think▷", r"◁/think▷"),  # Kimi
    (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>"),  # OpenThinker
    (r"<\|START_THINKING\|>", r"<\|END_THINKING\|>"),  # Command A
    (r"<unused94>", r"<unused95>"),  # MedGemma
)
_OPEN = re.compile("|".join(before for before, _ in _PAIRS), re.IGNORECASE)
_CLOSE = re.compile("|".join(after for _, after in _PAIRS), re.IGNORECASE)
_CHANNEL = re.compile(r"(?:<\|start\|>)?(?:assistant)?<\|channel\|>(\w+)[^<]*<\|message\|>")
_END = re.compile(r"<\|(?:end|return|call)\|>")


def spoken(answer: str) -> str:
    """What is said of an answer: without thoughts between tags, closed or not, and of channels only the final one.

    Many chat templates open the tag themselves, so that an answer begins within it: up to a lone closing tag all is
    thought. An opening tag within thoughts is one that they mention.

    >>> spoken("<think>1. A draft</think>1. A dog"), spoken("A draft</think>1. A dog"), spoken("<think>1. A draft")
    ('1. A dog', '1. A dog', '')
    """
    if _CHANNEL.search(answer):
        return _final(answer)
    tags = [(found.span(), True) for found in _OPEN.finditer(answer)]
    tags += [(found.span(), False) for found in _CLOSE.finditer(answer)]
    if not tags:
        return answer
    said, place, thinks = "", 0, False
    for (start, end), opens in sorted(tags):
        if not thinks:
            said = said + answer[place:start] if opens else ""
        place, thinks = end, opens
    return (said if thinks else said + answer[place:]).strip()


def _final(answer: str) -> str:
    """The final channel of an answer in OpenAI's harmony format; empty where it was cut off before."""
    found = [channel for channel in _CHANNEL.finditer(answer) if channel[1] == "final"]
    return _END.split(answer[found[-1].end() :], maxsplit=1)[0].strip() if found else ""
