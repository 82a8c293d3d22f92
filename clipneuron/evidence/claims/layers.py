"""Claims about what ablations of whole layers cost: second order (Fig. 3, 9) and first order (Fig. 10, 11).

What a drop is worth is always stated in comparison with the drop of the worst layer, so that a model whose drops are
small altogether is judged alike; a comparison with a drop that is not clear of zero is none.
"""

from collections.abc import Callable

from clipneuron.evidence.claims import paper
from clipneuron.evidence.claims.grounds import Evidence
from clipneuron.reports.estimates import Estimate
from clipneuron.reports.verdicts import (
    Claim,
    Figure,
    Judgement,
    at_least,
    at_most,
    limit,
    missing,
    not_above_zero,
    percent,
)
from clipneuron.tables.ablations import NONE, Ablation

NEGLIGIBLE, SMALL = 0.10, 0.25
LARGE, CONSIDERABLE = 0.50, 0.25
EARLY_FALL, EARLY_FALL_IN_PART = 0.20, 0.50
CLOSE = 1 / 4


def late_layers(evidence: Evidence) -> Claim:
    """The layers that matter are late."""
    found, worst = evidence.accuracies, evidence.worst
    accuracy = None if worst is None else found.accuracy(Ablation("all", worst))
    return evidence.claim(
        "Sec. 3.3, Fig. 3",
        "Mean-ablating all neurons of one layer costs most in moderately late layers",
        f"holds if the layer of largest drop is at or after layer {evidence.late}, the last third of the model, and no "
        "earlier layer's interval reaches that drop; in part if one does; cannot be judged unless earlier layers "
        "were swept and the drop is clear of zero",
        _lateness(evidence, worst),
        Figure("accuracy without the worst layer", accuracy, paper.WORST_LAYER),
        paper_says="layers 8-10 of 12, layer 9 the worst",
        of=_worst(evidence) + (f" of {evidence.setting.depth}" if worst is not None else ""),
    )


def _worst(evidence: Evidence) -> str:
    """The worst layer in words."""
    return "no layer" if evidence.worst is None else f"worst layer {evidence.worst}"


def _lateness(evidence: Evidence, worst: int | None) -> Judgement:
    found = evidence.accuracies
    cost = None if worst is None else found.drop(Ablation("all", worst))
    if worst is None or cost is None:
        return missing("mean-ablation of layers")
    if cost.low <= 0:
        return not_above_zero(cost, f"the largest drop, at layer {worst},")
    early = [layer for layer in found.layers("all") if layer < evidence.late]
    if not early or early == found.layers("all"):
        return Judgement("cannot be judged", "only late or only early layers were swept")
    why = f"largest drop {percent(cost.value)} at layer {worst} of {evidence.setting.depth}"
    if worst in early:
        return Judgement("does not hold", why)
    drops = {layer: found.drop(Ablation("all", layer)) for layer in early}
    rivals = [layer for layer, drop in drops.items() if drop and drop.high >= cost.value]
    if rivals:
        return Judgement("holds in part", f"{why}; the intervals of layers {rivals} reach it")
    return Judgement("holds", why)


def _share(
    evidence: Evidence, name: str, judge: Callable[[Estimate], Judgement]
) -> tuple[Estimate | None, Judgement]:
    """What an ablation costs at the worst layer, as a share of what ablating all its neurons costs."""
    worst, found = evidence.worst, evidence.accuracies
    whole = None if worst is None else found.drop(Ablation("all", worst))
    if worst is None or whole is None or Ablation(name, worst) not in found.outcomes:
        return None, missing(f"ablation {name!r} of the worst layer")
    if whole.low <= 0:
        return None, not_above_zero(whole, f"the whole drop of layer {worst}")
    every = Ablation("all", worst)
    share = found.ratio((NONE, Ablation(name, worst)), (NONE, every))
    return (None, missing("whole drop")) if share is None else (share, judge(share))


def _largest(evidence: Evidence, name: str) -> Estimate | None:
    found = evidence.accuracies
    drops = (found.drop(Ablation(name, layer)) for layer in found.layers(name))
    return max((drop for drop in drops if drop), default=None)


def _negligible(evidence: Evidence, name: str) -> tuple[Estimate | None, Judgement]:
    """Little lost at the worst layer, and nowhere much in comparison with it."""
    share, judgement = _share(
        evidence, name, lambda s: at_most(s, NEGLIGIBLE, SMALL, "share of the whole drop")
    )
    largest = _largest(evidence, name)
    whole = _largest(evidence, "all")
    if judgement.verdict == "holds" and largest and whole and largest.value > SMALL * whole.value:
        why = f"{judgement.why}, but another layer loses {percent(largest.value)}"
        judgement = Judgement("holds in part", why)
    return share, judgement


NEARLY_NOTHING = (
    f"holds if at the worst layer it costs at most {limit(NEGLIGIBLE)} of what ablating all its neurons costs, and at "
    f"no layer more than {limit(SMALL)} of that; in part if at most {limit(SMALL)} at the worst layer; cannot be "
    "judged if the interval of the share reaches over both limits or the whole drop is not clear of zero"
)


def _nearly_nothing(evidence: Evidence, name: str, where: str, statement: str) -> Claim:
    share, judgement = _negligible(evidence, name)
    return evidence.claim(
        where,
        statement,
        NEARLY_NOTHING,
        judgement,
        Figure("share of the whole drop", share),
        Figure("largest drop of any layer", _largest(evidence, name)),
        paper_says="negligible drop (curve only)",
        of=_worst(evidence),
    )


def small_norms(evidence: Evidence) -> Claim:
    """Effects of small norm do not matter."""
    statement = (
        "Mean-ablating effects that are not among a neuron's large ones costs nearly nothing"
    )
    return _nearly_nothing(evidence, "small", "Sec. 3.3, Fig. 3", statement)


def one_direction(evidence: Evidence) -> Claim:
    """One direction per neuron is enough."""
    statement = "Keeping one direction per neuron, the first principal one, costs nearly nothing"
    return _nearly_nothing(evidence, "pc", "Sec. 3.3, Fig. 3", statement)


def large_norms(evidence: Evidence) -> Claim:
    """Effects of large norm matter."""
    share, judgement = _share(
        evidence,
        "large",
        lambda s: at_least(s, LARGE, CONSIDERABLE, "share of the whole drop"),
    )
    return evidence.claim(
        "Sec. 3.3, Fig. 3",
        "Mean-ablating only a neuron's large effects costs much",
        f"holds if at the worst layer it costs at least {limit(LARGE)} of what ablating all its neurons costs; in part "
        f"from {limit(CONSIDERABLE)}; cannot be judged if the interval of the share reaches over both limits or the "
        "whole drop is not clear of zero",
        judgement,
        Figure("share of the whole drop", share),
        Figure("largest drop of any layer", _largest(evidence, "large")),
        paper_says="significant drop (curve only)",
        of=_worst(evidence),
    )


def spread_over_layers(evidence: Evidence) -> Claim:
    """The comparison of the two models of the paper, which takes two runs."""
    worst = evidence.worst
    largest = None if worst is None else evidence.accuracies.drop(Ablation("all", worst))
    judgement = Judgement("cannot be judged", "compares two models: see the other model's report")
    return evidence.claim(
        "A.1, Fig. 9",
        "In a larger model (ViT-L-14) the largest drop is smaller and spread over more layers",
        "to be judged from the reports of two models: the larger one has the smaller largest drop, and a larger "
        "share of its layers lose at least half of it",
        judgement if largest else missing("mean-ablation of layers"),
        Figure("largest drop", largest),
        paper_says="smaller, spread (curve only)",
        ours_says=_half_as_bad(evidence),
    )


def _half_as_bad(evidence: Evidence) -> str:
    found = evidence.accuracies
    drops = [found.drop(Ablation("all", layer)) for layer in found.layers("all")]
    values = [drop.value for drop in drops if drop]
    count = sum(value >= max(values) / 2 for value in values)
    return f"{count} of {len(values)} layers lose at least half of it" if values else ""


def first_order_late(evidence: Evidence) -> Claim:
    """Attention layers matter directly only at the end."""
    share, judgement = _early_fall(evidence)
    return evidence.claim(
        "A.2, Fig. 10",
        "Mean-ablating first-order effects, attention layer after attention layer, costs little before the last",
        f"holds if at most {limit(EARLY_FALL)} of the whole fall has come about before layer {evidence.late}, where "
        f"the last third of the model begins; in part up to {limit(EARLY_FALL_IN_PART)}; cannot be judged if the "
        "interval reaches over both limits or the whole fall is not clear of zero",
        judgement,
        Figure("share of the fall before the last third", share),
        paper_says="layers 9-11 of 12",
    )


def _early_fall(evidence: Evidence) -> tuple[Estimate | None, Judgement]:
    found = evidence.accuracies
    layers = found.layers("attention")
    early = [layer for layer in layers if layer < evidence.late]
    if not early or early == layers:
        return None, missing("first-order ablation of early and late layers")
    before, after = Ablation("attention", early[-1]), Ablation("attention", layers[-1])
    whole = found.drop(after)
    if whole is None:
        return None, missing("undisturbed pictures beside first-order ablation")
    share = found.ratio((NONE, before), (NONE, after))
    if share is None or whole.low <= 0:
        return None, not_above_zero(whole, "the whole fall")
    name = "share of the fall before the last third"
    return share, at_most(share, EARLY_FALL, EARLY_FALL_IN_PART, name)


def right_before(evidence: Evidence) -> Claim:
    """Second-order effects come right before first-order effects."""
    centres, judgement = _order(evidence)
    return evidence.claim(
        "A.2, Fig. 3 and 10",
        "Layers whose neurons have large second-order effects come right before the attention layers with large "
        "first-order effects",
        "holds if the centre of the second-order drops over layers lies before the centre of the first-order falls, "
        f"by at most {limit(CLOSE)} of the depth; in part if by more; the centres weigh each layer by its drop, and "
        "only drops that are clear of zero count",
        judgement,
        paper_says="layers 8-10 before layers 9-11",
        ours_says=centres,
    )


def _order(evidence: Evidence) -> tuple[str, Judgement]:
    """Where both centres are, in words, and what follows from it."""
    found = evidence.accuracies
    second = {layer: found.drop(Ablation("all", layer)) for layer in found.layers("all")}
    steps = [Ablation("attention", layer) for layer in found.layers("attention")]
    pairs = zip([NONE, *steps], steps, strict=False)
    first = {after.layer: found.gap(before, after) for before, after in pairs}
    if not second or not first:
        return "", missing("second-order and first-order ablation")
    if len(second) < evidence.setting.depth - 1:
        return "", Judgement(
            "cannot be judged", "only some of the layers before the last were swept"
        )
    centres = _centre(second), _centre(first)
    if centres[0] is None or centres[1] is None:
        return "", Judgement("cannot be judged", "no layer's drop is clear of zero")
    ahead = centres[1] - centres[0]
    words = (
        f"centres: second order at layer {centres[0]:.1f}, first order at layer {centres[1]:.1f}"
    )
    why = f"the second order's centre is {ahead:.1f} layers ahead"
    if ahead <= 0:
        return words, Judgement("does not hold", why)
    near = ahead <= CLOSE * evidence.setting.depth
    return words, Judgement("holds" if near else "holds in part", why)


def _centre(drops: dict[int, Estimate | None]) -> float | None:
    """The mean layer, weighted by the drops that are clearly above zero."""
    counted = {layer: drop.value for layer, drop in drops.items() if drop and drop.low > 0}
    total = sum(counted.values())
    return sum(layer * value for layer, value in counted.items()) / total if counted else None
