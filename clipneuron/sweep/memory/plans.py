"""How a sweep is made to fit into the memory that it is given: half precision, or layers in groups."""

from collections.abc import Sequence
from dataclasses import dataclass

from clipneuron.config.values.memory import Chosen, Precision
from clipneuron.reports.quantities import counted, size
from clipneuron.sweep.memory.needs import Need, Shape, calibrating, held, need

ERRORS = (
    "norms off by a median of 6e-6 (5e-5 at most, measured on ViT-B-32's shape), top coefficients by 2e-4 of an "
    "effect's own; pictures whose norms are that near to each other may change places"
)
"""What half precision costs, measured by benchmarks/memory.py."""


@dataclass(frozen=True)
class MemoryPlan:
    """How a pass is made to fit."""

    groups: tuple[tuple[int, ...], ...]
    """Layers that are swept together; every further group costs another forward pass."""
    precision: Chosen
    need: Need
    budget: float
    """Bytes that were given, 0 for no bound."""

    def describe(self) -> str:
        """In a line or two, with the error that is accepted."""
        passes = "in one pass"
        if len(self.groups) > 1:
            most = counted(max(map(len, self.groups)), "layers")
            passes = f"in {len(self.groups)} passes of up to {most}"
        bound = f" of {size(self.budget)}" if self.budget else ""
        both, free = size(self.need.of(on_cpu=True)), size(self.need.free)
        line = (
            f"{self.precision}, all layers {passes}: at most {size(self.need.at_model)}{bound} where the model is, and "
            f"{size(self.need.tables)} of main memory for tables and pixels of shards; "
            f"without a GPU {both} together, with {free} that workers keep of freed memory"
        )
        return line if self.precision == "float32" else f"{line}\n          accepted: {ERRORS}"


def fitted(
    shape: Shape, layers: Sequence[int], budget: float, precision: Precision, on_cpu: bool
) -> MemoryPlan:
    """The plan for a budget in bytes, 0 for none.

    `auto` stays with float32 while one pass over all layers fits where the model is, whatever the device, so that a
    run's numbers do not depend on it, and takes float16 otherwise; then the layers are cut into the fewest groups that
    fit. Raises ValueError where not even a single layer does.
    """
    whole = tuple(layers)
    chosen: Chosen = "float32" if precision == "auto" else precision
    if precision == "auto" and budget and need(shape, whole, whole, "float32").at_model > budget:
        chosen = "float16"
    for count in range(1, len(whole) + 1):
        groups = _cut(shape, whole, count, chosen)
        most = max(
            (need(shape, whole, group, chosen) for group in groups), key=lambda each: each.at_model
        )
        if not budget or most.of(on_cpu) <= budget:
            return MemoryPlan(groups, chosen, most, budget)
    raise ValueError(_refusal(shape, whole, budget, chosen, on_cpu))


def _cut(
    shape: Shape, layers: tuple[int, ...], count: int, precision: Chosen
) -> tuple[tuple[int, ...], ...]:
    """Layers in `count` groups of neighbours that hold about as much each: an early layer holds far more."""
    sizes = [held(shape, layer, precision).total for layer in layers]
    groups: list[tuple[int, ...]] = []
    start = 0
    for left in range(count, 0, -1):
        share, taken, end = sum(sizes[start:]) / left, 0.0, start
        while end < len(layers) - (left - 1) and (
            end == start or left == 1 or taken + sizes[end] / 2 <= share
        ):
            taken += sizes[end]
            end += 1
        groups.append(layers[start:end])
        start = end
    return tuple(groups)


def _refusal(
    shape: Shape, layers: tuple[int, ...], budget: float, precision: Chosen, on_cpu: bool
) -> str:
    worst = max(layers, key=lambda layer: held(shape, layer, precision).total)
    single = need(shape, layers, (worst,), precision)
    tables = f", of which {size(single.tables)} for tables and pixels of shards" if on_cpu else ""
    other = "" if precision == "float16" else ", `recipe.precision` float16"
    what = f"layer {worst} alone takes {size(single.of(on_cpu))} in {precision}"
    if single.at_model == shape.weights + calibrating(shape, layers):
        what = f"`calibrate`, which has all layers at once, takes {size(single.of(on_cpu))}"
    return (
        f"`recipe.memory` {size(budget)} is not enough: {what}{tables}. Give more{other}, a smaller "
        "`recipe.batch_size`, `recipe.shard_size` or `recipe.top`, or fewer `recipe.layers`"
    )
