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
MOST_ENERGY = 0.50
NORMAL_ENERGY = 0.144
"""Energy of a normal distribution beyond its 2 %: 2 (z f(z) + 1 - F(z)) at z = 2.326 for its density f."""
FEW = 2 * paper.SIGNIFICANT
LEAST_PICTURES = 250
"""Pictures of D of which five are above the 98 % quantile."""
RANK_ONE, RANK_ONE_IN_PART = 0.40, 0.20
MUCH_LESS = 0.50


def significant_share(evidence: Evidence) -> Claim:
    """Neurons matter on few pictures: D says which effects are large, other pictures what they amount to."""
    above, energy = map(_pooled, (evidence.distributions.above, evidence.distributions.energy))
    share, amount = (estimate(values) if len(values) else None for values in (above, energy))
    return evidence.claim(
        "Sec. 3.3",
        "A neuron's effect is significant on less than 2 % of the pictures",
        "which effects are large is decided on D, by the 98 % quantile of the centred norms, and what they amount to "
        "on the evaluation's other pictures: holds if those above the quantile carry at least "
        f"{limit(MOST_ENERGY)} of the energy (sum of squared norms), mean over neurons; in part from "
        f"{limit(NORMAL_ENERGY)}, which an effect along one direction with a normal distribution would have; does not "
        f"hold if more than {limit(FEW)} of the pictures are above; cannot be judged on pictures of D itself or with "
        f"fewer than {LEAST_PICTURES} in D",
        _concentration(evidence, share, amount),
        Figure("pictures above", share, paper.SIGNIFICANT),
        Figure("their energy", amount),
        of=counted(len(energy), "neurons"),
    )


def _concentration(
    evidence: Evidence, share: Estimate | None, amount: Estimate | None
) -> Judgement:
    if not (share and amount):
        return missing("energies of effects on the evaluation's pictures")
    setting = evidence.setting
    if not setting.has_other_pictures:
        return Judgement("cannot be judged", "the evaluation has pictures of D, not others")
    if setting.images_count < LEAST_PICTURES:
        why = f"D has {counted(setting.images_count, 'pictures')}: too few for a 98 % quantile"
        return Judgement("cannot be judged", why)
    if share.value > FEW:
        return Judgement("does not hold", f"{percent(share.value)} of the pictures are above")
    name = f"energy of the {percent(share.value)} of pictures above"
    return at_least(amount, MOST_ENERGY, NORMAL_ENERGY, name)


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
