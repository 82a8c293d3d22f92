"""Limits to what may change, for a schedule that is to notice when a new run differs from the last one."""

from dataclasses import dataclass

from clipneuron.operations.compare.accuracies import largest_fall
from clipneuron.operations.compare.comparison import Comparison
from clipneuron.operations.compare.summary import NEAR, overall


@dataclass(frozen=True)
class Limits:
    """What may change at most; None where nothing is asked."""

    below: float | None = None
    """A cosine: how many neurons may be below it, `share` says."""
    share: float = 0.0
    """Of the neurons that are compared."""
    words: float | None = None
    """Share of the neurons that may gain or lose a word."""
    score: float | None = None
    """By how much the mean correlation of the words may fall."""
    accuracy: float | None = None
    """By how much the accuracy may fall, undisturbed or under any ablation."""
    concepts: float | None = None
    """Share of the pictures whose first concept may be another, by whichever method most are."""

    @property
    def near(self) -> float:
        """The cosine below which neurons are counted."""
        return NEAR if self.below is None else self.below


def exceeded(found: Comparison, limits: Limits) -> list[str]:
    """Every limit that is exceeded, a sentence each; raises ValueError for one that nothing is known about."""
    _check_known(found, limits)
    total = overall(found, limits.near)
    alerts = []
    if limits.below is not None and total.below > limits.share:
        alerts.append(
            f"{total.below:.2%} of the neurons have a cosine below {limits.below:g}; allowed are {limits.share:.2%}"
        )
    if limits.words is not None and total.words_changed > limits.words:
        alerts.append(
            f"{total.words_changed:.2%} of the neurons gained or lost a word; allowed are {limits.words:.2%}"
        )
    if limits.score is not None:
        before, after = total.scores["correlation"]
        if not before - after <= limits.score:
            alerts.append(
                f"the mean correlation of the words fell from {before:.3f} to {after:.3f}; allowed is a fall by "
                f"{limits.score:g}"
            )
    if limits.accuracy is not None and (fall := largest_fall(found.accuracies)) > limits.accuracy:
        worst = found.accuracies[0]
        alerts.append(
            f"the accuracy under the ablation {named(worst.ablation)} fell by {fall:.2%}, from {worst.a:.2%} to "
            f"{worst.b:.2%}; allowed are {limits.accuracy:.2%}"
        )
    if limits.concepts is not None:
        most = max(found.concepts, key=lambda one: one.first_changed)
        if most.first_changed > limits.concepts:
            alerts.append(
                f"{most.first_changed:.2%} of the pictures have another first concept by {most.method}; allowed are "
                f"{limits.concepts:.2%}"
            )
    return alerts


def named(ablation: tuple[str, int, int]) -> str:
    """An ablation in words: its name with the layer and head that it has."""
    name, layer, head = ablation
    parts = [
        name,
        *([f"layer {layer}"] if layer >= 0 else []),
        *([f"head {head}"] if head >= 0 else []),
    ]
    return " ".join(parts)


def _check_known(found: Comparison, limits: Limits) -> None:
    wanting = {
        "scores of words, which `limits.score` is about": (
            "explain",
            limits.score,
            found.has_scores,
        ),
        "accuracies, which `limits.accuracy` is about": (
            "reproduce",
            limits.accuracy,
            bool(found.accuracies),
        ),
        "concepts of the same pictures, which `limits.concepts` is about": (
            "concepts",
            limits.concepts,
            bool(found.concepts),
        ),
    }
    for what, (verb, limit, known) in wanting.items():
        if limit is not None and not known:
            raise ValueError(f"the runs do not both have {what}: `clipneuron {verb}` computes them")
