"""How many texts may describe a neuron: what follows from the model's dimensions, and what is refused before any work.

The weights of nearly as many texts as there are dimensions grow without bound and say nothing: `docs/method.md` has the
measurements.
"""

from collections.abc import Sequence

from clipneuron.lens.options import Preparation

MOST = 128
"""Texts of a description where the model has dimensions for them: the paper's, in 512."""
_SIZES = (4, 8, 16, 32, 64, 128)
"""The lengths of the paper's Fig. 4."""


def usual(embed: int, texts: int, preparation: Preparation = "unit") -> int:
    """The paper's ratio of texts to dimensions, a quarter; fewer, where the pool has fewer independent texts.

    >>> usual(512, 30_000), usual(128, 30_000), usual(768, 30_000), usual(128, 10, "centered")
    (128, 32, 128, 9)
    """
    independent = texts if preparation == "unit" else texts - 1
    return max(1, min(MOST, embed // 4, independent))


def usual_sizes(most: int) -> tuple[int, ...]:
    """The lengths of Fig. 4 up to the usual length of a description.

    >>> usual_sizes(32), usual_sizes(3)
    ((4, 8, 16, 32), (3,))
    """
    return tuple(size for size in _SIZES if size <= most) or (most,)


def check(field: str, lengths: Sequence[int], embed: int, texts: int, pool: str) -> None:
    """Raises ValueError for descriptions of more than half as many texts as dimensions, or than the pool has."""
    longest = max(lengths)
    if longest > max(1, embed // 2):
        raise ValueError(
            f"`{field}` asks for descriptions of {longest} texts in a joint space of {embed} dimensions, where their "
            f"weights say nothing: expected at most {embed // 2}, half of the dimensions; the paper's ratio, a "
            f"quarter, is {embed // 4}"
        )
    if longest > texts:
        raise ValueError(
            f"`{field}` asks for descriptions of {longest} texts, and the pool {pool} has {texts}: ask for at most "
            f"{texts}, or give a larger pool"
        )


def warning(field: str, longest: int, embed: int) -> str:
    """What to say of descriptions of more than a quarter as many texts as dimensions, "" of others."""
    if longest <= max(1, embed // 4):
        return ""
    return (
        f"`{field}` {longest} is more than a quarter of the {embed} dimensions: weights of so long descriptions vary "
        f"much with little; the paper's ratio gives {embed // 4}"
    )
