"""Claims about single neurons: on how many pictures they matter, and how one-dimensional their effects are."""

from collections.abc import Mapping

import numpy as np

from clipneuron.evidence.claims import paper
from clipneuron.evidence.claims.grounds import Evidence
from clipneuron.evidence.distributions import PerNeuron, Variances, finite
from clipneuron.reports.estimates import Estimate, estimate
from clipneuron.reports.quantities import counted
from clipneuron.reports.verdicts import (
    Claim,
    Figure,
    Judgement,
    above_zero,
    at_least,
    at_most,
    limit,
    missing,
    percent,
    weakest,
)
from clipneuron.tables.ablations import Ablation

SELECTIVE, NORMAL = 0.10, 1 / 3
RANK_ONE, RANK_ONE_IN_PART = 0.40, 0.20
MUCH_LESS = 0.50


def significant_share(evidence: Evidence) -> Claim:
    """Neurons matter on few pictures, by the paper's threshold."""
    setting = evidence.setting
    shares = _pooled(evidence.distributions.significant)
    construction = setting.top / setting.images_count
    return evidence.claim(
        "Sec. 3.3",
        "A neuron's effect is significant on less than 2 % of the pictures",
        f"holds if the mean over neurons is below {limit(paper.SIGNIFICANT)} of the evaluation's pictures; in part if "
        "it is so for more than half of the neurons; cannot be judged where D is so small that the threshold leaves "
        f"more by construction: it is the {setting.top}th largest of {setting.images_count:,} norms, which leaves "
        f"{percent(construction)} of D (the paper's 100th of about 5000: 2.0 %)",
        _sparsity(shares, construction),
        Figure(
            "mean share of pictures", estimate(shares) if len(shares) else None, paper.SIGNIFICANT
        ),
        of=counted(len(shares), "neurons"),
    )


def _sparsity(shares: PerNeuron, construction: float) -> Judgement:
    if not len(shares):
        return missing("counts of significant effects")
    mean, few = float(shares.mean()), float((shares < paper.SIGNIFICANT).mean())
    why = (
        f"mean {percent(mean)}; below {limit(paper.SIGNIFICANT)} for {percent(few)} of the neurons"
    )
    if construction > paper.SIGNIFICANT:
        why += f"; the threshold leaves {percent(construction)} of D by construction"
        return Judgement("cannot be judged", why)
    if mean < paper.SIGNIFICANT:
        return Judgement("holds", why)
    return Judgement("holds in part" if few > 0.5 else "does not hold", why)


def effective_share(evidence: Evidence) -> Claim:
    """Neurons matter on few pictures, by a measure without a threshold."""
    shares = _pooled(evidence.distributions.participation)
    mean = estimate(shares) if len(shares) else None
    return evidence.claim(
        "Sec. 3.3 (our measure)",
        "A neuron's effect rests on few pictures, whatever the threshold: effective share (sum x²)² / (n sum x⁴) of "
        "the centred norms x on D",
        f"holds if the mean over neurons is at most {limit(SELECTIVE)}; in part up to {limit(NORMAL)}, which an effect "
        "along one direction with a normal distribution would have; effects alike on 2 % of the pictures and none "
        "elsewhere would have 2 %",
        at_most(mean, SELECTIVE, NORMAL, "mean") if mean else missing("norms of effects"),
        Figure("mean effective share", mean),
        of=counted(len(shares), "neurons"),
    )


def variance_explained(evidence: Evidence, layer: int) -> Claim:
    """Effects are nearly one-dimensional."""
    shares = finite(evidence.distributions.explained.get(layer, np.empty(0)))
    mean = estimate(shares) if len(shares) else None
    judgement = missing(f"directions of layer {layer}")
    if mean:
        judgement = at_least(mean, RANK_ONE, RANK_ONE_IN_PART, "mean over neurons")
    return evidence.claim(
        "Sec. 3.3, Table 1",
        "The first principal component explains about half of the variance of a neuron's large second-order effects",
        f"holds if the mean over the layer's neurons is at least {limit(RANK_ONE)}; in part from "
        f"{limit(RANK_ONE_IN_PART)}",
        judgement,
        Figure("explained variance", mean, paper.EXPLAINED),
        of=_of(layer, len(shares)),
    )


def indirect_variance(evidence: Evidence, layer: int) -> Claim:
    """Indirect effects are less one-dimensional."""
    found = evidence.distributions.indirect.get(layer)
    pairs = np.empty((0, 2)) if found is None else _both_known(found)
    indirect, second = (estimate(pairs[:, n].copy()) if len(pairs) else None for n in (0, 1))
    return evidence.claim(
        "Table 1",
        "The first principal component explains much less of indirect effects than of second-order effects",
        f"holds if the mean for indirect effects is at most {limit(MUCH_LESS)} of that for second-order effects of the "
        "same neurons on the same pictures, and the paired difference is clear of zero; in part if only the latter",
        _less_variance(pairs),
        Figure("indirect", indirect, paper.EXPLAINED_INDIRECT),
        Figure("second order", second, paper.EXPLAINED),
        of=_of(layer, len(pairs)) + (f", {counted(found.pictures, 'pictures')}" if found else ""),
    )


def _less_variance(pairs: PerNeuron) -> Judgement:
    if not len(pairs):
        return missing("indirect effects of this layer")
    indirect, second = pairs.mean(axis=0)
    judgement = above_zero(estimate(pairs[:, 1] - pairs[:, 0]), "second order less indirect:")
    if judgement.verdict == "holds" and indirect > MUCH_LESS * second:
        why = f"{judgement.why}, but indirect is {percent(indirect / second)} of second order"
        return Judgement("holds in part", why)
    return judgement


def indirect_accuracy(evidence: Evidence, layer: int) -> Claim:
    """Holding a layer's activations at their means costs less, since later layers make up for it."""
    found, held, ablated = evidence.accuracies, Ablation("indirect", layer), Ablation("all", layer)
    gap = found.gap(held, ablated)
    judgement = missing(f"layer {layer} held at its means")
    if gap:
        own = above_zero(gap, "accuracy held at means less accuracy after mean-ablation:")
        loss = found.drop(ablated)
        judgement = weakest([own, _lost(loss)]) if loss else own
    return evidence.claim(
        "Table 1",
        "Holding a layer's activations at their means costs less accuracy than mean-ablating its second-order effects",
        "holds if the difference, on the same pictures, is clearly above zero; does not hold if clearly below; cannot "
        "be judged around zero, or where mean-ablation itself costs nothing clear of zero",
        judgement,
        Figure("indirect", found.accuracy(held), paper.HELD_AT_MEANS),
        Figure("second order", found.accuracy(ablated), paper.WORST_LAYER),
        of=f"layer {layer}",
    )


def _lost(drop: Estimate) -> Judgement:
    name = "drop of mean-ablation"
    if drop.low > 0:
        return Judgement("holds", f"{name} {percent(drop.value)}")
    return Judgement("cannot be judged", f"{name} {percent(drop.value)} is not above zero")


def _both_known(found: Variances) -> PerNeuron:
    pairs = np.stack([found.indirect, found.second_order], axis=1)
    return pairs[np.isfinite(pairs).all(axis=1)]


def _pooled(by_layer: Mapping[int, PerNeuron]) -> PerNeuron:
    return finite(np.concatenate([np.empty(0), *by_layer.values()]))


def _of(layer: int, neurons: int) -> str:
    return f"layer {layer}, {counted(neurons, 'neurons')}"
