"""From scores of patches to a segmentation, and how good it is: the protocol and the figures of Table 4.

As Chefer et al. (2021, https://github.com/hila-chefer/Transformer-Explainability) have it, whose figures all later work
repeats: a map of patches is upsampled to the size of the mask that it is judged by, brought to [0, 1] by its own least
and greatest value, and cut in two; background counts as a class of its own.

    pixel accuracy  correct pixels over labelled ones, over all pictures
    mIoU            mean over {background, foreground} of summed intersection over summed union
    mAP             mean over pictures of the average precision of map and complement, see `average_precisions`
    F1              mean over pictures of the foreground's F1 (theirs is a mean over the rows of pixels in a picture)

A picture's pixels of unknown class (`known` is false) count for nobody, though they take part in a map's own least,
greatest and mean value. Everything a data set has is a sum over its pictures, so that rows of single pictures merge.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clipneuron.lens.options import Threshold, Upsampling

FIGURES = ("pixel_accuracy", "miou", "map", "f1")
"""What `figures` gives, in its order."""

_BLOCK = 2**20
"""Pixels that are ranked at a time."""


class Counts(NamedTuple):
    """Known pixels of each picture by what is predicted and what is true; they add up to all known ones."""

    true_positives: Int[Tensor, "*batch"]
    false_positives: Int[Tensor, "*batch"]
    false_negatives: Int[Tensor, "*batch"]
    true_negatives: Int[Tensor, "*batch"]


class Precisions(NamedTuple):
    """Two readings of "the average precision of a map and its complement", one for each picture."""

    joint: Float[Tensor, "*batch"]
    """Of one ranking of all pixels of both: what Chefer et al., and so Table 4, call AP."""
    mean: Float[Tensor, "*batch"]
    """The mean of that of the map for the foreground and that of the complement for the background."""


def upsampled(
    maps: Float[Tensor, "*batch patch"],
    grid: tuple[int, int],
    size: tuple[int, int],
    how: Upsampling,
) -> Float[Tensor, "*batch height width"]:
    """The maps of a grid (rows, columns) of patches at a size (height, width) in pixels.

    bilinear is between the middles of patches (torch's align_corners=False); nearest gives a pixel its patch's value.
    """
    rows, columns = grid
    if maps.shape[-1] != rows * columns:
        raise ValueError(f"a map of {maps.shape[-1]} patches is no grid of {rows} x {columns}")
    batch = maps.shape[:-1]
    square = maps.reshape(-1, 1, rows, columns)
    # "nearest-exact" takes the patch that a pixel's middle lies in; torch's "nearest" does so only at whole scales.
    mode = "bilinear" if how == "bilinear" else "nearest-exact"
    pixels = torch.nn.functional.interpolate(square, size=size, mode=mode)
    return pixels.reshape(*batch, *size)


def normalised(
    maps: Float[Tensor, "*batch height width"],
) -> Float[Tensor, "*batch height width"]:
    """Each map from 0, its least value, to 1, its greatest; one half everywhere if it has only one value.

    A flat map says nothing: every threshold but the best makes it all background, and every ranking of it is a tie. So
    does one with values that are no finite numbers, as in the programs of both papers.
    """
    low = maps.amin(dim=(-2, -1), keepdim=True)
    span = maps.amax(dim=(-2, -1), keepdim=True) - low
    says = span.isfinite() & (span > 0)
    return torch.where(says, (maps - low) / torch.where(says, span, 1), 0.5)


def thresholds(
    maps: Float[Tensor, "*batch height width"],
    truth: Bool[Tensor, "*batch height width"],
    known: Bool[Tensor, "*batch height width"],
    threshold: Threshold,
) -> Float[Tensor, "*batch"]:
    """The value above which each normalised map is foreground.

    0.5 is that of Table 4, mean is the map's own mean (Chefer et al.), and best is the one with the greatest mean of
    the picture's two IoUs. best looks at the truth: no method could know it, and it only bounds what a cut can give.
    """
    if threshold == "mean":
        return maps.mean(dim=(-2, -1))
    if threshold == "best":
        return _in_blocks(_best, maps, truth, known)
    return maps.new_full(maps.shape[:-2], 0.5)


def counts(
    maps: Float[Tensor, "*batch height width"],
    truth: Bool[Tensor, "*batch height width"],
    known: Bool[Tensor, "*batch height width"],
    above: Float[Tensor, "*batch"],
) -> Counts:
    """The known pixels by what is predicted, which is foreground strictly above the threshold, and what is true.

    >>> maps, truth = torch.tensor([[0.9, 0.2], [0.6, 0.0]]), torch.tensor([[True, True], [False, False]])
    >>> [int(count) for count in counts(maps, truth, torch.ones(2, 2, dtype=torch.bool), torch.tensor(0.5))]
    [1, 1, 1, 1]
    """
    predicted = maps > above[..., None, None]
    cases = (predicted & truth, predicted & ~truth, ~predicted & truth, ~predicted & ~truth)
    return Counts(*((case & known).sum(dim=(-2, -1)) for case in cases))


def average_precisions(
    maps: Float[Tensor, "*batch height width"],
    truth: Bool[Tensor, "*batch height width"],
    known: Bool[Tensor, "*batch height width"],
) -> Precisions:
    """How well normalised maps rank the foreground, and their complements (1 - map) the background."""
    return Precisions(*_in_blocks(_both_sides, maps, truth, known).unbind(-1))


def average_precision(
    scores: Float[Tensor, "*batch item"],
    labels: Bool[Tensor, "*batch item"],
    known: Bool[Tensor, "*batch item"],
) -> Float[Tensor, "*batch"]:
    """The sum over distinct scores, from the greatest, of the precision so far times the gain in recall, in float64.

    Equal scores are one step, as scikit-learn's average_precision_score has it. 0 where no known label is true.

    >>> scores, labels = torch.tensor([0.9, 0.8, 0.7]), torch.tensor([True, False, True])
    >>> average_precision(scores, labels, torch.ones(3, dtype=torch.bool))
    tensor(0.8333, dtype=torch.float64)
    """
    ranked = _ranked(scores, labels, known)
    reached = torch.stack([part.gather(-1, ranked.end) for part in (ranked.hits, ranked.seen)])
    return _gained(ranked.is_hit, reached) / ranked.hits[..., -1].clamp(min=1)


def picture_sums(
    counted: Counts,
    precision: Float[Tensor, "*method pair"],
    picture: Int[Tensor, "pair"],
    pictures: int,
) -> Float[Tensor, "*method picture column"]:
    """What the pairs (a picture and a class in it) of each picture add to the sums that `figures` reads, in float64.

    `picture` is each pair's, of so many. Columns: the four counts, the precision, F1, and the number of pairs.
    """
    f1 = f1_scores(counted)
    parts = [*counted, precision, f1, torch.ones_like(f1)]
    columns = torch.stack([part.double() for part in parts], dim=-1)
    sums = columns.new_zeros(*columns.shape[:-2], pictures, columns.shape[-1])
    return sums.index_add_(-2, picture, columns)


def figures(sums: Float[Tensor, "*group column"]) -> Float[Tensor, "*group figure"]:
    """Pixel accuracy, mIoU, mAP and F1 (see above, `FIGURES`) of sums over pictures; 0 of nothing.

    >>> sums = torch.tensor([30.0, 10, 10, 50, 1.6, 1.5, 2])
    >>> [round(figure, 3) for figure in figures(sums).tolist()]
    [0.8, 0.657, 0.8, 0.75]
    """
    tp, fp, fn, tn, precision, f1, pairs = sums.unbind(-1)
    wrong, pairs = fp + fn, pairs.clamp(min=1)
    right = tp + tn
    front, back = (same / (same + wrong).clamp(min=1) for same in (tp, tn))
    accuracy = right / (right + wrong).clamp(min=1)
    return torch.stack([accuracy, (front + back) / 2, precision / pairs, f1 / pairs], dim=-1)


def f1_scores(counted: Counts) -> Float[Tensor, "*batch"]:
    """2 tp / (2 tp + fp + fn) of each picture's foreground in float64; 0 where there is none and none is predicted."""
    twice = 2 * counted.true_positives.double()
    return twice / (twice + counted.false_positives + counted.false_negatives).clamp(min=1)


class _Ranked(NamedTuple):
    """Items from the greatest score to the least."""

    scores: Float[Tensor, "*batch item"]
    is_hit: Bool[Tensor, "*batch item"]
    """Known and true."""
    is_known: Bool[Tensor, "*batch item"]
    hits: Float[Tensor, "*batch item+1"]
    """How many hits there are before each place, and in all."""
    seen: Float[Tensor, "*batch item+1"]
    """How many known items there are before each place, and in all."""
    end: Int[Tensor, "*batch item"]
    """How many items score at least as much."""


def _ranked(scores: Tensor, labels: Tensor, known: Tensor) -> _Ranked:
    ordered, order = scores.sort(dim=-1, descending=True)
    is_hit, is_known = (part.gather(-1, order) for part in (labels & known, known))
    hits, seen = (_before(part) for part in (is_hit, is_known))
    return _Ranked(ordered, is_hit, is_known, hits, seen, _ends(ordered))


def _ends(ordered: Tensor) -> Tensor:
    """Of items in order, the place behind the last one that is equal; a search for each would take far longer."""
    places = torch.arange(1, ordered.shape[-1] + 1, device=ordered.device).expand(ordered.shape)
    is_last = torch.ones_like(ordered, dtype=torch.bool)
    is_last[..., :-1] = ordered[..., 1:] != ordered[..., :-1]
    ends = torch.where(is_last, places, ordered.shape[-1] + 1)
    return ends.flip(-1).cummin(-1).values.flip(-1)


def _before(flags: Tensor) -> Tensor:
    """How many flags are set before each place, and in all."""
    return torch.nn.functional.pad(flags.cumsum(-1), (1, 0)).double()


def _both_sides(maps: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """See `average_precisions`. The complements ascend where the maps descend, so that one ranking serves both.

    front and back count what scores at least as much as an item: among the map's pixels those before a place, among
    the complement's those from a place on.
    """
    ranked = _ranked(maps, truth, known)
    others, complement = ranked.seen - ranked.hits, 1 - ranked.scores

    front = partial(_counted_before, (ranked.hits, ranked.seen))
    back = partial(_counted_from, (others, ranked.seen))
    starts = complement.shape[-1] - _ends(complement.flip(-1)).flip(-1)
    own_front, own_back = front(ranked.end), back(starts)
    both_front = own_front + back(torch.searchsorted(complement, ranked.scores))
    both_back = own_back + front(torch.searchsorted(-ranked.scores, -complement, right=True))
    apart = [_gained(ranked.is_hit, own_front), _gained(ranked.is_known & ~ranked.is_hit, own_back)]
    joint = _gained(ranked.is_hit, both_front) + _gained(
        ranked.is_known & ~ranked.is_hit, both_back
    )
    true, false, all_known = (
        part[..., -1].clamp(min=1) for part in (ranked.hits, others, ranked.seen)
    )
    return torch.stack([joint / all_known, (apart[0] / true + apart[1] / false) / 2], dim=-1)


def _counted_before(sums: tuple[Tensor, Tensor], end: Tensor) -> Tensor:
    return torch.stack([part.gather(-1, end) for part in sums])


def _counted_from(sums: tuple[Tensor, Tensor], start: Tensor) -> Tensor:
    return torch.stack([part[..., -1:] - part.gather(-1, start) for part in sums])


def _gained(is_hit: Tensor, reached: Tensor) -> Tensor:
    """The sum of the precisions (hits over known items) that are reached at the hits."""
    precision = reached[0] / reached[1].clamp(min=1)
    return (is_hit * precision).sum(-1)


def _best(maps: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """Cuts between neighbouring values: the first k pixels, from the greatest, are foreground."""
    ranked = _ranked(maps, truth, known)
    hits, seen = ranked.hits, ranked.seen
    true, all_known = hits[..., -1:], seen[..., -1:]
    background = (all_known - seen) - (true - hits)
    front = hits / (seen + true - hits).clamp(min=1)
    back = background / (background + seen - hits + true - hits).clamp(min=1)
    ends = torch.nn.functional.pad(ranked.end, (1, 0))
    places = torch.arange(ends.shape[-1], device=maps.device)
    cut = torch.where(ends == places, front + back, -1).argmax(-1, keepdim=True)
    # Above the first value left out; below all of them where every pixel is foreground.
    below = torch.nn.functional.pad(ranked.scores, (0, 1), value=-1.0)
    return below.gather(-1, cut)[..., 0]


def _in_blocks(
    each: Callable[[Tensor, Tensor, Tensor], Tensor], maps: Tensor, truth: Tensor, known: Tensor
) -> Tensor:
    """What `each` makes of pictures' pixels [map, pixel], of few maps at a time: ranking takes 100 bytes a pixel."""
    batch, pixels = maps.shape[:-2], maps.shape[-2:].numel()
    at_a_time = max(1, _BLOCK // max(1, pixels))
    flat = [part.reshape(-1, pixels) for part in (maps, truth, known)]
    starts = range(0, max(1, len(flat[0])), at_a_time)
    found = torch.cat([each(*(part[s : s + at_a_time] for part in flat)) for s in starts])
    return found.reshape(*batch, *found.shape[1:])
