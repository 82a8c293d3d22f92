"""Mergeable summaries of a layer's effects over images (Sec. 3.3).

Two passes over the images D. The first sums coefficients (`Moments`); their mean is b_n^l in coefficient
space. The second keeps, per neuron, counts, powers and a histogram of the centred norms |phi - b|, and the
images with the largest norms together with their centred coefficients (`Summary`). Both can be merged: any number
of shards, in any order and grouping, gives the same result (top images exactly, sums up to rounding).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import reduce

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

BINS_PER_DECADE = 32
LOWEST_DECADE, HIGHEST_DECADE = -6, 2
BINS = BINS_PER_DECADE * (HIGHEST_DECADE - LOWEST_DECADE)
"""Bins of the norms' histogram, logarithmic from 1e-6 to 1e2: quantiles are accurate to 7.5 %."""

_IMAGE_BITS = 32
_IMAGE_MASK = (1 << _IMAGE_BITS) - 1


@dataclass(frozen=True)
class Moments:
    """Sums over images, in float64: count, coefficients, remainder coordinates and their products."""

    count: int
    coefficients: Float[Tensor, "neuron path"]
    remainders: Float[Tensor, "coordinate"]
    products: Float[Tensor, "coordinate coordinate"]

    @classmethod
    def of(
        cls,
        coefficients: Float[Tensor, "image neuron path"],
        remainders: Float[Tensor, "image coordinate"],
    ) -> "Moments":
        """The sums of one batch."""
        return cls.summed(coefficients.sum(0, dtype=torch.float64), remainders)

    @classmethod
    def summed(
        cls,
        coefficients: Float[Tensor, "neuron path"],
        remainders: Float[Tensor, "image coordinate"],
    ) -> "Moments":
        """The same, of coefficients that are summed already."""
        return cls(
            len(remainders),
            coefficients,
            remainders.sum(0, dtype=torch.float64),
            remainders.double().mT @ remainders.double(),
        )

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(
            self.count + other.count,
            self.coefficients + other.coefficients,
            self.remainders + other.remainders,
            self.products + other.products,
        )

    @property
    def mean(self) -> tuple[Float[Tensor, "neuron path"], Float[Tensor, "coordinate"]]:
        """Mean coefficients and mean remainder coordinates; ValueError when no image was counted."""
        if self.count == 0:
            raise ValueError(
                "the mean effect needs at least one image, and none was read successfully"
            )
        return self.coefficients / self.count, self.remainders / self.count

    @property
    def axes(self) -> Float[Tensor, "coordinate axis"]:
        """Principal axes of the remainders over the images, without those that carry no variance.

        Left out are the axes that together hold less than 1e-8 of the variance: with them, a remainder changes by
        1e-4 of its spread, and an effect, which is hundreds of times larger, by about float32's rounding.
        """
        _, mean = self.mean
        covariance = self.products / self.count - torch.outer(mean, mean)
        variances, axes = torch.linalg.eigh(covariance)
        left_out = variances.clamp(min=0).cumsum(0) < 1e-8 * variances.clamp(min=0).sum()
        kept: Tensor = axes[:, ~left_out]
        return kept


@dataclass(frozen=True)
class Summary:
    """What is stored of a layer's centred effects over a set of images.

    `keys` orders the top effects: the norm's bits above the image's number, so that equal norms (copies of a
    picture) are ranked by image and every merge is exact. Unused places hold -1.
    """

    count: int
    norm_sum: Float[Tensor, "neuron"]
    square_sum: Float[Tensor, "neuron"]
    fourth_sum: Float[Tensor, "neuron"]
    histogram: Int[Tensor, "neuron bin"]
    keys: Int[Tensor, "neuron top"]
    coefficients: Float[Tensor, "neuron top path"]

    @property
    def top_norms(self) -> Float[Tensor, "neuron top"]:
        """Centred norms of the top images, 0 in unused places."""
        bits = (self.keys.clamp(min=0) >> _IMAGE_BITS).to(torch.int32)
        return bits.view(torch.float32)

    @property
    def top_images(self) -> Int[Tensor, "neuron top"]:
        """Numbers of the top images, -1 in unused places."""
        return torch.where(self.keys < 0, -1, _IMAGE_MASK - (self.keys & _IMAGE_MASK))

    @property
    def threshold(self) -> Float[Tensor, "neuron"]:
        """The smallest of the top centred norms: an effect above it is significant (Sec. 3.3)."""
        return self.top_norms.masked_fill(self.keys < 0, torch.inf).amin(1)

    def ranked(self) -> "Summary":
        """The same summary with the largest effect first."""
        keys, order = self.keys.sort(1, descending=True)
        return replace(self, keys=keys, coefficients=_take(self.coefficients, order))

    def quantile(self, share: float) -> Float[Tensor, "neuron"]:
        """The centred norm below which `share` of the images lie, interpolated in its histogram bin."""
        heights = self.histogram.double().cumsum(1)
        edges = torch.arange(BINS + 1).to(heights) / BINS_PER_DECADE + LOWEST_DECADE
        wanted = torch.full_like(heights[:, :1], share * self.count)
        index = torch.searchsorted(heights, wanted).clamp(max=BINS - 1)
        above = heights.gather(1, index)
        inside = self.histogram.double().gather(1, index).clamp(min=1)
        exponent = edges[index + 1] - (above - wanted) / inside / BINS_PER_DECADE
        return (10**exponent)[:, 0]

    def __add__(self, other: "Summary") -> "Summary":
        top = self.keys.shape[1]
        keys, order = torch.cat([self.keys, other.keys], 1).topk(top, dim=1)
        both = torch.cat([self.coefficients, other.coefficients], 1)
        return Summary(
            self.count + other.count,
            self.norm_sum + other.norm_sum,
            self.square_sum + other.square_sum,
            self.fourth_sum + other.fourth_sum,
            self.histogram + other.histogram,
            keys,
            _take(both, order),
        )


def merge(summaries: Iterable[Summary]) -> Summary:
    """One summary of everything that the given ones cover; ValueError when there are none."""
    remaining = iter(summaries)
    first = next(remaining, None)
    if first is None:
        raise ValueError("nothing to merge: expected at least one summary")
    return reduce(Summary.__add__, remaining, first)


def top_keys(
    norms: Float[Tensor, "*batch"], images: Int[Tensor, "*batch"]
) -> Int[Tensor, "*batch"]:
    """Sortable keys of (norm, image); equal norms rank the lower image number first.

    The bits of non-negative float32 numbers sort like the numbers. Raises ValueError for image numbers of 2^32 or more.
    """
    _check_numbers(images)
    return _keys(norms, images)


def _check_numbers(images: Int[Tensor, "*batch"]) -> None:
    if images.numel() and (int(images.max()) > _IMAGE_MASK or int(images.min()) < 0):
        raise ValueError(f"image numbers must lie between 0 and {_IMAGE_MASK}")


def _keys(norms: Float[Tensor, "*batch"], images: Int[Tensor, "*batch"]) -> Int[Tensor, "*batch"]:
    bits = norms.float().contiguous().view(torch.int32).long()
    return (bits << _IMAGE_BITS) | (_IMAGE_MASK - images.long())


def best_keys(
    keys: Int[Tensor, "neuron top"], more: Int[Tensor, "neuron entry"]
) -> Int[Tensor, "neuron top"]:
    """As many of both as there are places, the largest first; -1 is no entry."""
    return torch.cat([keys, more], 1).topk(keys.shape[1], dim=1).values


class Collector:
    """Builds one `Summary` from batches, with memory that does not grow with the number of images.

    Where a `bound` is given, a key per neuron that as many images as are kept reach outside these batches, nothing up
    to it is kept, and places are left unused: of what is merged with those images, it would be nothing anyway.
    """

    def __init__(
        self,
        neurons: int,
        paths: int,
        top: int,
        device: torch.device | str = "cpu",
        bound: Int[Tensor, "neuron"] | None = None,
    ):
        if top < 1:
            raise ValueError(f"the number of top images must be at least 1, not {top}")
        wide = {"dtype": torch.float64, "device": device}
        self._count = 0
        self._powers = torch.zeros(3, neurons, **wide)  # type: ignore[call-overload]
        self._histogram = torch.zeros(neurons * BINS, dtype=torch.int64, device=device)
        nothing = torch.full((neurons,), -1, dtype=torch.int64)
        self._bound = (nothing if bound is None else bound).to(device)[:, None]
        self._keys = self._bound.repeat(1, top)
        self._coefficients = self._places(neurons, top, paths, device)

    def add(
        self,
        norms: Float[Tensor, "image neuron"],
        images: Int[Tensor, "image"],
        coefficients: Float[Tensor, "image neuron path"],
    ) -> None:
        """Count one batch: centred norms, image numbers and centred coefficients.

        The numbers may stay on the CPU, where looking at them waits for nobody; the CPU waits for a GPU once, for how
        many places change.
        """
        _check_numbers(images)
        images = images.to(norms.device, non_blocking=True)
        self._count += len(norms)
        squares = norms.double().square()
        self._powers += torch.stack([norms.double(), squares, squares.square()]).sum(1)
        self._histogram += _histogram(norms)
        keys = _keys(norms.T, images.expand(norms.shape[1], -1))
        places, newcomers = _replacements(self._keys, keys)
        self._keys[places] = keys[newcomers]
        neuron, image = newcomers
        self._keep(places, coefficients[image, neuron].float())

    def summary(self) -> Summary:
        """Everything counted so far, largest effects first."""
        norm_sum, square_sum, fourth_sum = self._powers
        histogram = self._histogram.view(-1, BINS)
        unused = self._keys <= self._bound
        self._coefficients.masked_fill_(unused[..., None], 0.0)
        return Summary(
            self._count,
            norm_sum,
            square_sum,
            fourth_sum,
            histogram,
            self._keys.masked_fill(unused, -1),
            self._kept(),
        ).ranked()

    # How coefficients are held: `HalfCollector` holds them in half the memory.

    def _places(
        self, neurons: int, top: int, paths: int, device: torch.device | str
    ) -> Float[Tensor, "neuron top path"]:
        """Room for the coefficients of the top effects."""
        return torch.zeros(neurons, top, paths, device=device)

    def _keep(
        self,
        places: tuple[Int[Tensor, "entry"], Int[Tensor, "entry"]],
        rows: Float[Tensor, "entry path"],
    ) -> None:
        self._coefficients[places] = rows

    def _kept(self) -> Float[Tensor, "neuron top path"]:
        """The coefficients in float32; those of unused places are 0."""
        return self._coefficients


class HalfCollector(Collector):
    """A `Collector` that holds coefficients in float16, each effect's as shares of its largest one, in float32."""

    def _places(
        self, neurons: int, top: int, paths: int, device: torch.device | str
    ) -> Float[Tensor, "neuron top path"]:
        self._largest = torch.zeros(neurons, top, 1, device=device)
        return torch.zeros(neurons, top, paths, dtype=torch.float16, device=device)

    def _keep(
        self,
        places: tuple[Int[Tensor, "entry"], Int[Tensor, "entry"]],
        rows: Float[Tensor, "entry path"],
    ) -> None:
        largest = rows.abs().amax(1, keepdim=True)
        self._largest[places] = largest
        self._coefficients[places] = (rows / largest.clamp(min=torch.finfo(rows.dtype).tiny)).half()

    def _kept(self) -> Float[Tensor, "neuron top path"]:
        return self._coefficients.float().mul_(self._largest)


def _replacements(
    kept: Int[Tensor, "neuron top"], keys: Int[Tensor, "neuron image"]
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Places to overwrite and the (neuron, image) pairs that go there, pair by pair in neuron order.

    Only the changes are moved: after the first batches these are a few pairs per neuron.
    """
    top = kept.shape[1]
    best = torch.cat([kept, keys], 1).topk(top, dim=1, sorted=False).indices
    stays = torch.zeros(len(kept), top + keys.shape[1], dtype=torch.bool, device=kept.device)
    stays.scatter_(1, best, True)
    leaving, newcomers = ~stays[:, :top], stays[:, top:]
    count = int(leaving.sum())
    return _where(leaving, count), _where(newcomers, count)


def _where(flags: Bool[Tensor, "neuron entry"], count: int) -> tuple[Tensor, Tensor]:
    """Where so many flags are set, row by row."""
    row, column = torch.nonzero_static(flags, size=count).unbind(1)
    return row, column


def _histogram(norms: Float[Tensor, "image neuron"]) -> Int[Tensor, "bin"]:
    """Counts of every neuron's norms, flat [neuron * bin]."""
    exponent = norms.float().clamp(min=10.0**LOWEST_DECADE).log10()
    bins = ((exponent - LOWEST_DECADE) * BINS_PER_DECADE).long().clamp(0, BINS - 1)
    bins += torch.arange(norms.shape[1], device=norms.device) * BINS
    counts = bins.new_zeros(norms.shape[1] * BINS)
    # bincount asks a GPU for the greatest bin, and the CPU waits for its answer
    return counts.scatter_add_(0, bins.flatten(), torch.ones_like(bins).flatten())


def _take(
    coefficients: Float[Tensor, "neuron entry path"], order: Int[Tensor, "neuron top"]
) -> Float[Tensor, "neuron top path"]:
    return coefficients.gather(1, order[..., None].expand(-1, -1, coefficients.shape[2]))
