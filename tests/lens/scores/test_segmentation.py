"""The figures of segmentation against counts by hand and scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score, jaccard_score
from torch.nn.functional import interpolate

from clipneuron.lens.scores.resampling import intervals, paired_intervals, resampled_sums
from clipneuron.lens.scores.segmentation import (
    FIGURES,
    Counts,
    average_precision,
    average_precisions,
    counts,
    f1_scores,
    figures,
    normalised,
    picture_sums,
    thresholds,
    upsampled,
)

HALF = torch.tensor(0.5)


def _everything(like: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(like, dtype=torch.bool)


def _some(seed: int = 0, batch: tuple[int, ...] = (2, 3)) -> tuple[torch.Tensor, ...]:
    """Maps with many ties, truths and known pixels."""
    dice = torch.Generator().manual_seed(seed)
    maps = normalised(torch.randint(0, 7, (*batch, 6, 5), generator=dice).float())
    truth = torch.rand(*batch, 6, 5, generator=dice) < 0.3
    known = torch.rand(*batch, 6, 5, generator=dice) < 0.8
    return maps, truth, known


def _each(*parts: torch.Tensor) -> list[tuple[np.ndarray, ...]]:
    flat = [part.flatten(0, -3).flatten(-2).numpy() for part in parts]
    return list(zip(*flat, strict=True))


def test_counted_by_hand() -> None:
    truth = torch.tensor([[1, 1, 0, 0], [1, 1, 0, 0]], dtype=torch.bool)
    maps = torch.tensor([[0.9, 0.5, 0.6, 0.0], [0.7, 0.8, 1.0, 0.1]])
    known = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 1]], dtype=torch.bool)
    found = counts(maps, truth, known, HALF)  # 0.5 itself is background
    assert [int(count) for count in found] == [3, 1, 1, 2]
    assert f1_scores(found) == pytest.approx(6 / 8)
    sums = picture_sums(
        Counts(*(count[None] for count in found)), torch.tensor([0.25]), torch.tensor([0]), 1
    )
    assert figures(sums)[0].tolist() == pytest.approx([5 / 7, (3 / 5 + 2 / 4) / 2, 0.25, 0.75])


def test_average_precision_by_hand() -> None:
    # Cuts after 0.9: 1 of 1; after both 0.6: 2 of 3; after 0.1: 3 of 4. An unknown 0.8 does not count.
    scores = torch.tensor([0.9, 0.6, 0.1, 0.6, 0.8])
    labels = torch.tensor([True, True, True, False, False])
    known = torch.tensor([True, True, True, True, False])
    expected = 1 / 3 * 1 + 1 / 3 * 2 / 3 + 1 / 3 * 3 / 4
    assert average_precision(scores, labels, known).item() == pytest.approx(expected, abs=1e-12)


def test_precisions_are_those_of_scikit_learn() -> None:
    maps, truth, known = _some()
    found = average_precisions(maps, truth, known)
    for joint, mean, (values, labels, kept) in zip(
        found.joint.flatten(), found.mean.flatten(), _each(maps, truth, known), strict=True
    ):
        one, other = (labels[kept], values[kept]), (~labels[kept], 1 - values[kept])
        both = [np.concatenate(parts) for parts in zip(one, other, strict=True)]
        assert joint.item() == pytest.approx(average_precision_score(*both), abs=1e-12)
        sides = [average_precision_score(*one), average_precision_score(*other)]
        assert mean.item() == pytest.approx(np.mean(sides), abs=1e-12)


def test_f1_and_ious_are_those_of_scikit_learn() -> None:
    maps, truth, known = _some(1, (4,))
    found = counts(maps, truth, known, thresholds(maps, truth, known, "mean"))
    predicted = maps > maps.mean((-2, -1), keepdim=True)
    cases = _each(predicted, truth, known)
    expected = [f1_score(labels[kept], values[kept]) for values, labels, kept in cases]
    assert f1_scores(found).tolist() == pytest.approx(expected)
    values, labels = (np.concatenate([case[i][case[2]] for case in cases]) for i in (0, 1))
    sums = picture_sums(found, torch.zeros(4), torch.arange(4), 4).sum(0)
    miou = np.mean([jaccard_score(labels, values), jaccard_score(~labels, ~values)])
    assert figures(sums)[FIGURES.index("miou")] == pytest.approx(miou)
    assert figures(sums)[FIGURES.index("pixel_accuracy")] == pytest.approx(
        (values == labels).mean()
    )


def test_the_best_threshold_is_that_of_all_cuts() -> None:
    maps, truth, known = _some(2, (8,))
    best = thresholds(maps, truth, known, "best")

    def ious(above: torch.Tensor) -> torch.Tensor:
        tp, fp, fn, tn = counts(maps, truth, known, above)
        return tp / (tp + fp + fn).clamp(min=1) + tn / (tn + fp + fn).clamp(min=1)

    cuts = torch.tensor([-1.0, *sorted({*maps.flatten().tolist()})])
    every = torch.stack([ious(cut.expand(8)) for cut in cuts])
    torch.testing.assert_close(ious(best), every.amax(0))


def test_all_foreground_can_be_the_best_cut() -> None:
    maps = normalised(torch.tensor([[[0.0, 1.0], [2.0, 3.0]]]))
    best = thresholds(maps, _everything(maps), _everything(maps), "best")
    assert counts(maps, _everything(maps), _everything(maps), best).true_positives.item() == 4


@pytest.mark.parametrize("value", [-3.0, torch.nan, torch.inf, -torch.inf])
def test_a_flat_map_is_background_at_every_threshold_and_ranks_nothing(value: float) -> None:
    flat = torch.full((1, 2, 2), -3.0)
    flat[0, 0, 0] = value
    maps = normalised(flat)
    truth = torch.tensor([[[True, False], [False, False]]])
    known = _everything(maps)
    for threshold in ("0.5", "mean"):
        above = thresholds(maps, truth, known, threshold)
        assert [count.item() for count in counts(maps, truth, known, above)] == [0, 0, 1, 3]
    found = average_precisions(maps, truth, known)
    assert found.joint.item() == 0.5
    assert found.mean.item() == pytest.approx((0.25 + 0.75) / 2)


def test_pictures_of_one_pixel_and_pictures_without_known_pixels() -> None:
    for size, known in (((1, 1), True), ((3, 2), False)):
        maps = normalised(torch.rand(1, *size))
        truth, kept = torch.ones(1, *size, dtype=torch.bool), torch.full((1, *size), known)
        for threshold in ("0.5", "mean", "best"):
            above = thresholds(maps, truth, kept, threshold)
            found = counts(maps, truth, kept, above)
            assert sum(found).item() == int(known)
        assert all(part.isfinite().all() for part in average_precisions(maps, truth, kept))
        assert f1_scores(found).isfinite().all()


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    maps, truth, known = _some(3)
    whole = average_precisions(maps, truth, known), thresholds(maps, truth, known, "best")
    monkeypatch.setattr("clipneuron.lens.scores.segmentation._BLOCK", 31)
    small = average_precisions(maps, truth, known), thresholds(maps, truth, known, "best")
    torch.testing.assert_close(small, whole, rtol=0, atol=0)


def test_upsampling() -> None:
    maps = torch.rand(2, 3, 6)
    pixels = upsampled(maps, (2, 3), (32, 48), "bilinear")
    expected = interpolate(maps.reshape(6, 1, 2, 3), scale_factor=16, mode="bilinear")
    torch.testing.assert_close(pixels, expected.reshape(2, 3, 32, 48))
    blocks = upsampled(maps, (2, 3), (32, 48), "nearest")
    expected = maps.reshape(2, 3, 2, 3).repeat_interleave(16, -1).repeat_interleave(16, -2)
    torch.testing.assert_close(blocks, expected)
    with pytest.raises(ValueError, match="6 patches is no grid of 3 x 3"):
        upsampled(maps, (3, 3), (48, 48), "nearest")


def test_sums_of_shards_are_the_sums_of_all() -> None:
    maps, truth, known = _some(4, (9,))
    found = counts(maps, truth, known, maps.new_full((9,), 0.5))
    precision = average_precisions(maps, truth, known).joint
    picture = torch.tensor([0, 0, 1, 2, 2, 2, 3, 4, 4])
    whole = picture_sums(found, precision, picture, 5)
    for split in (1, 4, 7):
        parts = [
            picture_sums(Counts(*(c[part] for c in found)), precision[part], picture[part], 5)
            for part in (slice(split), slice(split, None))
        ]
        torch.testing.assert_close(sum(parts), whole, rtol=0, atol=1e-14)
    assert whole[:, -1].tolist() == [2, 1, 3, 1, 2]


def test_intervals_are_those_of_a_loop_over_the_same_draws() -> None:
    values = torch.rand(2, 12, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    dice = torch.Generator().manual_seed(5)
    drawn = torch.randint(12, (200, 12), generator=dice)
    expected = torch.stack([figures(values[:, places].sum(1)) for places in drawn])
    low, high = expected.quantile(torch.tensor([0.05, 0.95], dtype=torch.float64), dim=0)
    found = intervals(values, figures, level=0.9, draws=200, seed=5)
    torch.testing.assert_close(found, (figures(values.sum(1)), low, high))
    apart = expected - expected[:, :1]
    low, high = apart.quantile(torch.tensor([0.05, 0.95], dtype=torch.float64), dim=0)
    paired = paired_intervals(values, figures, 0, level=0.9, draws=200, seed=5)
    torch.testing.assert_close(paired[1:], (low, high))
    assert not paired.value[0].any()


def test_resampling_in_blocks_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    values = torch.rand(1, 5, 2)
    whole = resampled_sums(values, draws=20)
    monkeypatch.setattr("clipneuron.lens.scores.resampling._BLOCK", 15)
    torch.testing.assert_close(resampled_sums(values, draws=20), whole)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    dice = torch.Generator().manual_seed(1)
    ones = torch.ones(300, 40, 1)
    values = torch.cat([torch.randn(300, 40, 1, generator=dice), ones], dim=-1)
    found = intervals(values, lambda sums: sums[..., :1] / sums[..., 1:], draws=300)
    held = ((found.low <= 0) & (found.high >= 0)).float().mean().item()
    assert 0.89 < held < 0.98


def test_paired_differences_see_what_separate_intervals_do_not() -> None:
    base = torch.rand(60, 1, generator=torch.Generator().manual_seed(2))
    values = torch.stack([base, base + 0.02])
    values = torch.cat([values, torch.ones_like(values)], dim=-1)

    def mean(sums: torch.Tensor) -> torch.Tensor:
        return sums[..., :1] / sums[..., 1:]

    apart = intervals(values, mean)
    paired = paired_intervals(values, mean, 0)
    assert apart.low[1] < apart.high[0]
    assert paired.low[1] > 0.01


@pytest.mark.parametrize("values", [torch.zeros(1, 0, 2), torch.full((1, 2, 2), torch.nan)])
def test_nothing_to_draw_from_is_refused(values: torch.Tensor) -> None:
    with pytest.raises(
        ValueError, match="expected at least one draw and one item, all values finite"
    ):
        resampled_sums(values)


def test_no_maps_at_all() -> None:
    maps, flags = torch.zeros(0, 4, 4), torch.zeros(0, 4, 4, dtype=torch.bool)
    assert average_precisions(maps, flags, flags).joint.shape == (0,)
    above = thresholds(maps, flags, flags, "best")
    assert counts(maps, flags, flags, above).true_positives.shape == (0,)
