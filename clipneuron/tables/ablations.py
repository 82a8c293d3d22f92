"""Which ablation a row of the table `predictions` is of."""

from typing import NamedTuple


class Ablation(NamedTuple):
    """What is replaced: effects of a layer (-1: of none), up to one of its heads (-1: of all), in a way with a name."""

    name: str
    layer: int = -1
    head: int = -1

    @property
    def texts(self) -> tuple[str, int] | None:
        """The pool and the number of texts whose sum stands for each effect, None for other ablations."""
        kind, _, rest = self.name.partition(":")
        pool, _, size = rest.rpartition(":")
        return (pool, int(size)) if kind == "texts" else None


NONE = Ablation("none")


def name_of_texts(pool: str, size: int) -> str:
    """The name of the ablation that puts sums of so many texts of a pool in the place of effects."""
    return f"texts:{pool}:{size}"
