"""Amounts of memory as people write them, and the precision that may be traded for it."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator

Precision = Literal["auto", "float32", "float16"]
"""In what a sweep holds its Gram matrices and top coefficients; see `clipneuron.lens.norms`."""

Chosen = Literal["float32", "float16"]
"""What `auto` comes to."""

_UNITS = {"MB": 1e6, "GB": 1e9, "TB": 1e12, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def bytes_in(text: str) -> float:
    """The bytes that a text such as `24GB` or `22.5 GiB` means; raises ValueError for any other.

    >>> bytes_in("24GB"), bytes_in("1.5 GiB"), bytes_in("")
    (24000000000.0, 1610612736.0, 0.0)
    """
    if not text:
        return 0.0
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([MGT]i?B)", text.strip())
    if not found or not float(found[1]):
        raise ValueError("this is no amount of memory: expected a number and a unit, such as 24GB")
    return float(found[1]) * _UNITS[found[2]]


def _checked(text: str) -> str:
    bytes_in(text)
    return text


Memory = Annotated[str, AfterValidator(_checked)]
"""An amount of memory, or an empty text for no bound."""
