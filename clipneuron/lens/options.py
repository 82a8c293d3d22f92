"""The choices that the method leaves, by name; free of torch, so that a configuration can be checked without it."""

from typing import Literal

Rule = Literal["paper", "authors"]
"""How texts stand for effects: along r with the sum of texts written, or along and with the sum of texts."""


Split = Literal["equal", "centered"]


Preparation = Literal["unit", "centered", "authors"]


Scoring = Literal["sum", "authors"]
