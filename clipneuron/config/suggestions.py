"""What a mistyped word was probably meant to be."""

from collections.abc import Iterable
from difflib import get_close_matches


def suggestion(word: str, known: Iterable[str]) -> str:
    """The end of a message: the known word that comes nearest, or nothing where none comes near.

    >>> suggestion("efects", ["plan", "effects"])
    '; did you mean effects?'
    >>> suggestion("nothing", ["plan", "effects"])
    ''
    """
    found = get_close_matches(word, list(known), n=1)
    return f"; did you mean {found[0]}?" if found else ""
