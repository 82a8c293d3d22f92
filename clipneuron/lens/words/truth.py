"""How true a neuron's words are: what it writes on pictures, beside what its words say of them.

x_n(I) is what neuron n writes along its direction, c_j(I) whether (or how much) word j is true of the picture, w_j the
word's signed weight. Each word is a claim: that the neuron writes high where the word is true (w_j > 0), or low
(w_j < 0). Scores of single claims are joined by their mean weighted by |w_j|.

    correlation  Pearson's, of x_n and sum_j w_j c_j
    auprc        average precision of the pictures ranked by sign(w_j) x_n for "the word is true"; base_rate is what a
                 random ranking has, the share of pictures of which the word is true
    f1, iou      of the `share` of pictures that sign(w_j) x_n is greatest on, and those of which the word is true
    auc          of the same ranking; it hardly notices wrong words at low frequencies and stands for comparability only

Words of which nothing is true score 0 everywhere, and so does a neuron without words: saying nothing is no way to be
right. A neuron that writes the same on all pictures has no score (NaN). Intervals are delete-a-group jackknife (Kott
2001): pictures fall into groups, each score is taken anew without each group. One sort of x_n serves all words.
"""

from typing import NamedTuple

import torch
from einops import einsum
from jaxtyping import Bool, Float, Int
from torch import Tensor

GROUPS = 20
"""Of the jackknife."""

_BLOCK = 4096
"""Texts at a time."""

_T = 2.093
"""The 97.5 % quantile of Student's t with GROUPS - 1 degrees of freedom."""


class Score(NamedTuple):
    """A score of each neuron with its 95 % interval."""

    value: Float[Tensor, "neuron"]
    low: Float[Tensor, "neuron"]
    high: Float[Tensor, "neuron"]


class Scores(NamedTuple):
    """The scores of a block of neurons; see above."""

    correlation: Score
    auprc: Score
    f1: Score
    iou: Score
    base_rate: Float[Tensor, "neuron"]
    auc: Float[Tensor, "neuron"]


class Words(NamedTuple):
    """The words of a block of neurons; unused places have weight 0."""

    indices: Int[Tensor, "neuron word"]
    """Rows of the truth."""
    weights: Float[Tensor, "neuron word"]


class Truth(NamedTuple):
    """What is true of pictures."""

    degrees: Float[Tensor, "text image"]
    """How much each text is true of each picture: 0 or 1, or a witness's similarity."""
    holds: Bool[Tensor, "text image"]
    """Whether it is true."""


class Ranking:
    """Where each picture stands among all by what each neuron writes; ties stand at the end of their run.

    high[n, i]: pictures on which neuron n writes at least as much as on i; low[n, i]: at most as much.
    within[g, n, r]: how many of the first r pictures, from the highest, are of group g; r = 0 ... all.
    """

    def __init__(self, written: Float[Tensor, "neuron image"]) -> None:
        self.written, self.images = written, written.shape[1]
        self.groups = torch.arange(self.images, device=written.device) % GROUPS
        negated = (-written).contiguous()
        ordered, order = negated.sort(dim=1)
        self.high = torch.searchsorted(ordered, negated, right=True)
        self.low = self.images - torch.searchsorted(ordered, negated)
        self.is_alive = written.amax(1) > written.amin(1)
        found = self.groups[order]
        self.within = written.new_zeros(GROUPS, len(written), self.images + 1, dtype=torch.int32)
        for group in range(GROUPS):
            torch.cumsum(found == group, 1, dtype=torch.int32, out=self.within[group, :, 1:])


def scores(ranking: Ranking, words: Words, truth: Truth, share: float) -> Scores:
    """The scores of a block of neurons, whose pictures are ranked.

    `share` is that of pictures on which a neuron counts as writing much, for F1 and IoU. Raises ValueError for a share
    that is none.
    """
    if not 0 < share < 1:
        raise ValueError(f"the share is {share}: expected a number between 0 and 1")
    claims = _Claims(ranking, words, truth.holds, share)
    alive = ranking.is_alive
    found = claims.judged()
    correlations = _correlations(ranking, words, truth.degrees)
    named = {"correlation": correlations, **found}
    joined = {name: _with_interval(values, alive) for name, values in named.items()}
    return Scores(
        **joined,
        base_rate=_known(claims.mean(claims.true_counts / ranking.images), alive),
        auc=_known(claims.mean(claims.auc()), alive),
    )


class _Claims:
    """All words of a block of neurons: at which ranks the pictures stand of which they are true.

    An entry is a claim (a neuron's word) with one such picture; entries are sorted by claim, then by rank.
    """

    def __init__(
        self, ranking: Ranking, words: Words, holds: Bool[Tensor, "text image"], share: float
    ) -> None:
        self.ranking, self.weights = ranking, words.weights
        self.top = max(1, round(share * ranking.images))
        member = torch.nn.functional.one_hot(ranking.groups, GROUPS).float()
        self._much = [(side <= self.top).float() @ member for side in (ranking.high, ranking.low)]
        claim, image, self.true_counts = _entries(holds, words)
        neuron = claim // words.weights.shape[1]
        high, low = (side[neuron, image] for side in (ranking.high, ranking.low))
        self.sides = words.weights.flatten() > 0
        positive = self.sides[claim]
        ranks = torch.where(positive, high, low)
        # Pictures that tie share their mean rank, of which `auc` needs the sums.
        middle = (ranks + ranking.images - torch.where(positive, low, high) + 1).double() / 2
        self.middles = self._sums(middle, claim)
        order = (claim * (ranking.images + 1) + ranks).argsort()
        self.claim, self.ranks, self.neuron = claim, ranks[order], neuron
        self.groups, self.positive = ranking.groups[image[order]], positive
        keys = claim * (ranking.images + 1) + self.ranks
        self.last = torch.searchsorted(keys, keys, right=True) - 1
        self.first = torch.searchsorted(claim, torch.arange(len(self.sides), device=claim.device))

    def mean(self, values: Float[Tensor, "neuron word"]) -> Float[Tensor, "neuron"]:
        """The mean over a neuron's words, weighted by |w|; 0 without any."""
        shares = self.weights.abs()
        total = shares.sum(-1)
        return (values * shares).sum(-1) / torch.where(total > 0, total, 1)

    def judged(self) -> dict[str, Float[Tensor, "fold neuron"]]:
        """Scores over all pictures, and then without each of the groups."""
        folds = [self._fold(None), *map(self._fold, range(GROUPS))]
        return {name: torch.stack([fold[name] for fold in folds]) for name in folds[0]}

    def _fold(self, group: int | None) -> dict[str, Float[Tensor, "neuron"]]:
        kept = torch.ones_like(self.positive) if group is None else self.groups != group
        before = torch.nn.functional.pad(kept.cumsum(0), (1, 0))
        # Of true pictures that tie, each counts all of them.
        found = before[self.last + 1] - before[self.first[self.claim]]
        seen = self.ranks if group is None else self.ranks - self._gone(group)
        precision = torch.where(kept, found / seen.clamp(min=1), 0)
        true = self._sums(kept)
        hits = self._sums(kept & (self.ranks <= self.top))
        both = self._chosen(group) + true
        return {
            "auprc": self.mean(self._sums(precision) / true.clamp(min=1)),
            "f1": self.mean(2 * hits / both.clamp(min=1)),
            "iou": self.mean(hits / (both - hits).clamp(min=1)),
        }

    def _sums(
        self, entries: Tensor, claim: Int[Tensor, "entry"] | None = None
    ) -> Float[Tensor, "neuron word"]:
        totals = entries.new_zeros(self.weights.numel(), dtype=torch.float64)
        totals.index_add_(0, self.claim if claim is None else claim, entries.double())
        return totals.view(self.weights.shape)

    def _gone(self, group: int) -> Int[Tensor, "entry"]:
        """How many pictures up to each rank are of a group."""
        within, images = self.ranking.within[group], self.ranking.images
        ranks = torch.where(self.positive, self.ranks, images - self.ranks)
        high = within[self.neuron, ranks]
        return torch.where(self.positive, high, within[self.neuron, -1] - high)

    def _chosen(self, group: int | None) -> Float[Tensor, "neuron word"]:
        """How many pictures a neuron writes much on, at the side that each word speaks of."""
        counts = (
            parts.sum(1) - (parts[:, group] if group is not None else 0) for parts in self._much
        )
        high, low = (count[:, None] for count in counts)
        return torch.where(self.weights > 0, high, low)

    def auc(self) -> Float[Tensor, "neuron word"]:
        """Mann and Whitney's, a half where it is not defined."""
        total, true = self.ranking.images, self.true_counts.double()
        wins = true * (total + 1) - self.middles - true * (true + 1) / 2
        pairs = true * (total - true)
        return torch.where(pairs > 0, wins / pairs.clamp(min=1), 0.5).float()


def _entries(
    holds: Bool[Tensor, "text image"], words: Words
) -> tuple[Int[Tensor, "entry"], Int[Tensor, "entry"], Int[Tensor, "neuron word"]]:
    """Of each claim the pictures of which it is true, by claim, and how many they are."""
    texts = torch.where(words.weights != 0, words.indices, len(holds)).flatten()
    used, inverse = torch.unique(texts, return_inverse=True)
    rows = holds[used.clamp(max=len(holds) - 1)] & (used < len(holds))[:, None]
    counts, (_, listed) = rows.sum(1), rows.nonzero(as_tuple=True)
    mine = counts[inverse]
    claim = torch.arange(len(texts), device=holds.device).repeat_interleave(mine)
    place = torch.arange(len(claim), device=holds.device) - (mine.cumsum(0) - mine)[claim]
    start = counts.cumsum(0) - counts
    return claim, listed[start[inverse[claim]] + place], mine.view(words.weights.shape)


def _correlations(
    ranking: Ranking, words: Words, degrees: Float[Tensor, "text image"]
) -> Float[Tensor, "fold neuron"]:
    """Pearson's correlation over all pictures, and then without each of the groups; 0 where the words say nothing."""
    said = einsum(degrees[words.indices], words.weights, "n w i, n w -> n i").double()
    x = ranking.written.double()
    x, said = x - x.mean(1, keepdim=True), said - said.mean(1, keepdim=True)
    # Of equal values, means leave roundings.
    said = said * (said.abs().amax(1, keepdim=True) > 1e-7)
    member = torch.nn.functional.one_hot(ranking.groups, GROUPS).double()
    parts = torch.stack([(values @ member) for values in (x, said, x * x, said * said, x * said)])
    whole = parts.sum(-1, keepdim=True)
    left = torch.cat([whole, whole - parts], dim=-1)
    sizes = member.sum(0)
    count = torch.cat([sizes.sum()[None], sizes.sum() - sizes])
    sx, ss, sxx, sss, sxs = left
    variances = (sxx - sx * sx / count).clamp(min=0) * (sss - ss * ss / count).clamp(min=0)
    defined = variances > 1e-12 * (sxx * sss)
    found = (sxs - sx * ss / count) / torch.where(defined, variances, 1).sqrt()
    return torch.where(defined, found, 0).clamp(-1, 1).T.float()


def _with_interval(folds: Float[Tensor, "fold neuron"], alive: Bool[Tensor, "neuron"]) -> Score:
    value, others = folds[0], folds[1:].double()
    spread = (others - others.mean(0)).square().sum(0) * (GROUPS - 1) / GROUPS
    half = (_T * spread.sqrt()).to(value)
    return Score(*(_known(item, alive) for item in (value, value - half, value + half)))


def _known(values: Tensor, alive: Bool[Tensor, "neuron"]) -> Tensor:
    return values.float().masked_fill(~alive, torch.nan)


def best_words(
    written: Float[Tensor, "neuron image"], degrees: Float[Tensor, "text image"]
) -> tuple[Int[Tensor, "neuron"], Float[Tensor, "neuron"]]:
    """The one text that correlates most with what each neuron writes, by absolute value, and its correlation.

    0 for a neuron that writes the same on all pictures; texts are taken in blocks.
    """
    x = _standardised(written)
    best = x.new_zeros(len(x))
    index = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    for start in range(0, len(degrees), _BLOCK):
        found = x @ _standardised(degrees[start : start + _BLOCK]).T
        place = found.abs().argmax(1)
        value = found.gather(1, place[:, None])[:, 0]
        better = value.abs() > best.abs()
        best = torch.where(better, value, best)
        index = torch.where(better, place + start, index)
    return index, best


def _standardised(rows: Float[Tensor, "row image"]) -> Float[Tensor, "row image"]:
    centred = rows - rows.mean(1, keepdim=True)
    length = centred.norm(dim=1, keepdim=True)
    return centred / torch.where(length > 1e-6 * rows.norm(dim=1, keepdim=True), length, torch.inf)
