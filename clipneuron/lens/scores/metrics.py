"""The statistics that experiments report: accuracy, ranking, explained variance and confidence intervals.

All functions are pure; those that take scores accept any leading axes.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Interval(NamedTuple):
    """A confidence interval of a mean."""

    low: float
    high: float


def accuracy(
    logits: Float[Tensor, "image class"], labels: Int[Tensor, "image"], top: int = 1
) -> float:
    """Share of images whose label is among the `top` largest logits.

    >>> accuracy(torch.tensor([[0.1, 0.9], [0.8, 0.2]]), torch.tensor([1, 1]))
    0.5
    """
    if len(labels) == 0:
        raise ValueError("accuracy of no images is undefined; give at least one")
    if not 1 <= top <= logits.shape[1]:
        raise ValueError(f"top is {top}; expected 1 to the {logits.shape[1]} classes")
    guesses = logits.topk(top, dim=1).indices
    return float((guesses == labels[:, None]).any(dim=1).double().mean())


def auc(
    scores: Float[Tensor, "*batch item"], labels: Bool[Tensor, "*batch item"]
) -> Float[Tensor, "*batch"]:
    """Area under the ROC curve: how often a positive item outscores a negative one, ties half.

    (sum of the positives' ranks - P (P + 1) / 2) / (P N) with equal scores sharing their mean rank
    (Mann and Whitney 1947). NaN where there are no positives or no negatives.

    >>> auc(torch.tensor([0.1, 0.4, 0.4, 0.8]), torch.tensor([False, False, True, True]))
    tensor(0.8750)
    """
    _check_scores(scores)
    positives = labels.sum(dim=-1).double()
    negatives = scores.shape[-1] - positives
    rank_sum = (mean_ranks(scores) * labels).sum(dim=-1)
    wins = rank_sum - positives * (positives + 1) / 2
    return (wins / (positives * negatives)).to(scores.dtype)


def mean_ranks(scores: Float[Tensor, "*batch item"]) -> Float[Tensor, "*batch item"]:
    """Ranks from 1 (smallest) in float64; equal scores share the mean of their ranks.

    >>> mean_ranks(torch.tensor([0.3, 0.1, 0.3]))
    tensor([2.5000, 1.0000, 2.5000], dtype=torch.float64)
    """
    scores = scores.contiguous()
    ordered = scores.sort(dim=-1).values.contiguous()
    below = torch.searchsorted(ordered, scores)
    not_above = torch.searchsorted(ordered, scores, right=True)
    return (below + not_above + 1).double() / 2


def spearman(
    one: Float[Tensor, "*batch item"], other: Float[Tensor, "*batch item"]
) -> Float[Tensor, "*batch"]:
    """Spearman's rank correlation: Pearson's of the ranks, equal values sharing theirs; 0 where all are equal.

    >>> spearman(torch.tensor([1.0, 2.0, 9.0]), torch.tensor([0.1, 0.5, 0.4]))
    tensor(0.5000)
    """
    ranks = [mean_ranks(values) for values in (one, other)]
    first, second = (values - values.mean(-1, keepdim=True) for values in ranks)
    lengths = first.norm(dim=-1) * second.norm(dim=-1)
    return ((first * second).sum(-1) / torch.where(lengths > 0, lengths, 1)).to(one.dtype)


def r_precision(
    scores: Float[Tensor, "*batch item"], labels: Bool[Tensor, "*batch item"]
) -> Float[Tensor, "*batch"]:
    """Share of positives among the R best-scored items, R being the number of positives.

    Among equal scores the earlier item ranks higher. NaN where there are no positives.
    (Manning, Raghavan and Schütze 2008, Sec. 8.4.)

    >>> r_precision(torch.tensor([0.9, 0.7, 0.5]), torch.tensor([True, False, True]))
    tensor(0.5000)
    """
    _check_scores(scores)
    best_first = scores.argsort(dim=-1, descending=True, stable=True)
    found = labels.gather(-1, best_first).cumsum(dim=-1)
    positives = labels.sum(dim=-1, keepdim=True)
    hits = found.gather(-1, (positives - 1).clamp(min=0))
    return (hits.double() / positives)[..., 0].to(scores.dtype)


def explained_variance(
    projections: Float[Tensor, "image neuron"], norms: Float[Tensor, "image neuron"]
) -> Float[Tensor, "neuron"]:
    """Share of each neuron's variance that its direction explains (Table 1, "PC1").

    sum_I <phi_n(I) - b_n, r_n>² / sum_I |phi_n(I) - b_n|², of centred projections and centred norms.
    NaN for a neuron without any variance.
    """
    return projections.square().sum(dim=0) / norms.square().sum(dim=0)


def participation(
    squares: Float[Tensor, "*neurons"], fourths: Float[Tensor, "*neurons"], count: int
) -> Float[Tensor, "*neurons"]:
    """Effective share of images on which a neuron matters, from sums over images of x² and x⁴.

    (sum x²)² / (count sum x⁴), the participation ratio over count: 1 when all images matter equally, 1/count
    when only one does (Sec. 3.2: effects are significant on few images). The sums merge over shards.
    NaN for a neuron that never matters.

    >>> x = torch.tensor([3.0, 0.0, 0.0, 3.0])
    >>> participation(x.square().sum(), x.pow(4).sum(), 4)
    tensor(0.5000)
    """
    if count < 1:
        raise ValueError(f"the sums are over {count} images; expected at least one")
    return squares.square() / (count * fourths)


def bootstrap_interval(
    values: Float[Tensor, "item"], *, level: float = 0.95, draws: int = 1000, seed: int = 0
) -> Interval:
    """Percentile bootstrap interval of the mean of `values` (Efron 1979); the same for the same seed.

    >>> bootstrap_interval(torch.full((5,), 0.25))
    Interval(low=0.25, high=0.25)
    """
    if len(values) == 0 or not values.isfinite().all():
        raise ValueError(f"cannot resample {len(values)} values: expected at least one, all finite")
    if not 0 < level < 1 or draws < 1:
        raise ValueError(
            f"level {level} and draws {draws}: expected a level between 0 and 1 and at least one draw"
        )
    values = values.double().cpu()
    generator = torch.Generator().manual_seed(seed)
    means = torch.stack([_resampled(values, generator).mean() for _ in range(draws)])
    tails = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = means.quantile(tails).tolist()
    return Interval(low, high)


def _resampled(values: Tensor, generator: torch.Generator) -> Tensor:
    return values[torch.randint(len(values), (len(values),), generator=generator)]


def _check_scores(scores: Tensor) -> None:
    if scores.isnan().any():
        raise ValueError(
            f"{int(scores.isnan().sum())} scores are NaN, which cannot be ranked; drop those items"
        )
