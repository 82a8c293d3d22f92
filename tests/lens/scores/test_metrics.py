import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score, top_k_accuracy_score

from clipneuron.lens.scores.metrics import (
    accuracy,
    auc,
    bootstrap_interval,
    explained_variance,
    mean_ranks,
    participation,
    r_precision,
)


def labelled(items: int, levels: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores with many ties and labels with both classes."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(levels, (items,), generator=generator).double() / levels
    labels = torch.rand(items, generator=generator) < 0.4
    labels[0], labels[1] = True, False
    return scores, labels


@settings(max_examples=60)
@given(items=st.integers(2, 80), levels=st.integers(1, 100), seed=st.integers(0, 2**31))
def test_auc_is_scikit_learns(items: int, levels: int, seed: int):
    scores, labels = labelled(items, levels, seed)
    expected = roc_auc_score(labels.numpy(), scores.numpy())
    assert float(auc(scores, labels)) == pytest.approx(expected, abs=1e-12)


def test_auc_over_leading_axes():
    pairs = [labelled(30, 7, seed) for seed in range(6)]
    scores, labels = (torch.stack(part).reshape(2, 3, 30) for part in zip(*pairs, strict=True))
    expected = torch.stack([auc(*pair) for pair in pairs]).reshape(2, 3)
    torch.testing.assert_close(auc(scores, labels), expected)
    strided = scores.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    torch.testing.assert_close(auc(strided, labels), expected)


def test_auc_of_one_class_is_undefined():
    scores = torch.rand(2, 4)
    labels = torch.tensor([[True] * 4, [False] * 4])
    assert auc(scores, labels).isnan().all()


def test_auc_counts_a_million_items_exactly():
    """Rank sums pass 2**24, where float32 stops counting."""
    items = 1_000_000
    labels = torch.arange(items) % 2 == 1
    assert float(auc(torch.zeros(items), labels)) == 0.5
    assert float(auc(labels.float(), labels)) == 1.0


def test_mean_ranks_are_shared_between_equals():
    scores = torch.tensor([[2.0, 1.0, 2.0, 2.0], [4.0, 3.0, 2.0, 1.0]])
    assert mean_ranks(scores).tolist() == [[3, 1, 3, 3], [4, 3, 2, 1]]


@settings(deadline=None, max_examples=60)
@given(items=st.integers(2, 80), levels=st.integers(1, 100), seed=st.integers(0, 2**31))
def test_mean_ranks_are_scipys(items: int, levels: int, seed: int):
    scores = torch.stack([labelled(items, levels, seed + row)[0] for row in range(3)])
    assert mean_ranks(scores).numpy() == pytest.approx(stats.rankdata(scores, axis=-1), abs=0)


def test_r_precision_counts_hits_among_the_first_r():
    scores = torch.tensor([[0.9, 0.8, 0.1, 0.7], [0.5, 0.5, 0.5, 0.5], [0.1, 0.2, 0.3, 0.4]])
    labels = torch.tensor(
        [[True, False, True, True], [True, False, False, True], [True, False, False, False]]
    )
    expected = torch.tensor([2 / 3, 1 / 2, 0])
    torch.testing.assert_close(r_precision(scores, labels), expected)
    assert r_precision(scores, torch.zeros_like(labels)).isnan().all()
    assert r_precision(scores[0].double(), labels[0]) == 2 / 3  # to the last bit


@pytest.mark.parametrize(("scores", "expected"), [([3, 2, 1, 0], 1.0), ([1, 0, 3, 2], 0.0)])
def test_r_precision_of_the_best_and_the_worst_order(scores: list[int], expected: float):
    labels = torch.tensor([True, True, False, False])
    assert r_precision(torch.tensor(scores).float(), labels) == expected


@pytest.mark.parametrize("metric", [auc, r_precision])
def test_scores_that_are_not_numbers_are_refused(metric):
    scores = torch.tensor([0.1, float("nan"), 0.3])
    with pytest.raises(ValueError, match="1 scores are NaN"):
        metric(scores, torch.tensor([True, False, True]))


def test_accuracy():
    generator = torch.Generator().manual_seed(0)
    logits = torch.rand(50, 6, generator=generator)
    labels = torch.randint(6, (50,), generator=generator)
    for top in (1, 3):
        expected = top_k_accuracy_score(labels, logits, k=top, labels=np.arange(6))
        assert accuracy(logits, labels, top) == pytest.approx(expected)
    assert accuracy(logits, labels, 6) == 1


def test_accuracy_refuses_the_undefined():
    with pytest.raises(ValueError, match="no images"):
        accuracy(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long))
    for top in (0, 4):
        with pytest.raises(ValueError, match="1 to the 3 classes"):
            accuracy(torch.zeros(1, 3), torch.zeros(1, dtype=torch.long), top)


def test_explained_variance_is_that_of_the_first_singular_vector():
    effects = torch.randn(40, 3, 8, dtype=torch.float64)
    effects -= effects.mean(dim=0)
    _, sizes, vectors = torch.linalg.svd(effects.transpose(0, 1), full_matrices=False)
    projections = torch.einsum("ind,nd->in", effects, vectors[:, 0])
    expected = sizes[:, 0].square() / sizes.square().sum(dim=1)
    torch.testing.assert_close(explained_variance(projections, effects.norm(dim=2)), expected)


def test_participation_is_the_share_of_images_that_matter():
    norms = torch.tensor([[1.0, 5.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    shares = participation(norms.square().sum(dim=0), norms.pow(4).sum(dim=0), 4)
    torch.testing.assert_close(shares[:2], torch.tensor([1.0, 0.25]))
    assert shares[2].isnan()
    with pytest.raises(ValueError, match="at least one"):
        participation(torch.zeros(1), torch.zeros(1), 0)


def test_bootstrap_interval_covers_like_the_normal_approximation():
    values = torch.randn(400, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    low, high = bootstrap_interval(values, draws=4000)
    half = 1.96 * float(values.std()) / 20
    assert low == pytest.approx(float(values.mean()) - half, abs=0.1 * half)
    assert high == pytest.approx(float(values.mean()) + half, abs=0.1 * half)
    narrow = bootstrap_interval(values, level=0.5, draws=4000)
    assert low < narrow.low < narrow.high < high


@pytest.mark.slow
def test_bootstrap_interval_is_scipys_but_for_the_draws():
    values = torch.rand(
        60, generator=torch.Generator().manual_seed(2), dtype=torch.float64
    ).square()
    for level in (0.5, 0.95):
        ours = bootstrap_interval(values, level=level, draws=20_000)
        theirs = stats.bootstrap(
            (values.numpy(),), np.mean, confidence_level=level, n_resamples=20_000, method="percentile", rng=0
        ).confidence_interval  # fmt: skip
        assert ours == pytest.approx(tuple(theirs), abs=0.02 * (theirs.high - theirs.low))


def test_bootstrap_interval_depends_on_the_seed_alone():
    values = torch.rand(30)
    before = torch.random.get_rng_state()
    assert bootstrap_interval(values, seed=3) == bootstrap_interval(values, seed=3)
    assert bootstrap_interval(values, seed=3) != bootstrap_interval(values, seed=4)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([], {}, "cannot resample 0 values"),
        ([1.0, float("nan")], {}, "all finite"),
        ([1.0], {"level": 1.0}, "between 0 and 1"),
        ([1.0], {"draws": 0}, "at least one draw"),
    ],
)
def test_bootstrap_interval_refuses_the_undefined(values, options, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(torch.tensor(values), **options)
