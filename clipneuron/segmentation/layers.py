"""Which layers the neurons of a class are chosen from."""

from collections.abc import Sequence


def usual_layers(depth: int) -> tuple[int, ...]:
    """The last quarter (rounded up) of a tower's layers before the very last, which has no second-order effect.

    The paper's rule is three layers of twelve (Sec. 5.3); it gives none for other towers.

    >>> usual_layers(12), usual_layers(24), usual_layers(10)
    ((8, 9, 10), (17, 18, 19, 20, 21, 22), (6, 7, 8))
    """
    count = -(-depth // 4)
    return tuple(range(max(0, depth - 1 - count), depth - 1))


def chosen_layers(asked: Sequence[int], depth: int, swept: Sequence[int]) -> tuple[int, ...]:
    """The layers that are asked for, or the usual ones; raises ValueError where some are not swept."""
    layers = tuple(sorted({*asked})) or usual_layers(depth)
    missing = sorted({*layers} - {*swept})
    if missing:
        raise ValueError(
            f"maps of second order take the neurons of layers {', '.join(map(str, layers))}, of which the run has no "
            f"{', '.join(map(str, missing))}: add them to `recipe.layers`, or choose `segmentation.neuron_layers` "
            f"among those of the run, {', '.join(map(str, swept))}"
        )
    return layers
