"""The scores of words against scikit-learn and SciPy, and what every one of them must notice."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import average_precision_score, f1_score, jaccard_score, roc_auc_score

from clipneuron.explanation.figures import METRICS
from clipneuron.lens.scores.metrics import spearman
from clipneuron.lens.words.dissection import FIRST, LAST, SHARPNESS, similarities, soft_wpmi
from clipneuron.lens.words.truth import GROUPS, Ranking, Scores, Truth, Words, best_words, scores

NEURONS, IMAGES, TEXTS, WORDS = 5, 240, 9, 3
SHARE = 0.05


def world(seed: int = 0, ties: bool = True):
    """What neurons write, their words, and what is true."""
    dice = torch.Generator().manual_seed(seed)
    written = torch.randn(NEURONS, IMAGES, generator=dice)
    written = (written * 4).round() / 4 if ties else written
    holds = torch.rand(TEXTS, IMAGES, generator=dice) < 0.1
    indices = torch.randint(0, TEXTS, (NEURONS, WORDS), generator=dice)
    weights = torch.randn(NEURONS, WORDS, generator=dice)
    weights[0, 2] = 0
    return written, Words(indices, weights), holds


def judged(written, words: Words, holds, share: float = SHARE) -> Scores:
    return scores(Ranking(written), words, Truth(holds.float(), holds), share)


def expected(written, words: Words, holds, score) -> np.ndarray:
    """A score of single claims, joined by |w|."""
    found = []
    for x, indices, weights in zip(written.numpy(), *words, strict=True):
        own = [
            score(holds[text].numpy(), x * math.copysign(1, weight))
            for text, weight in zip(indices.tolist(), weights.tolist(), strict=True)
        ]
        found.append(np.average(own, weights=weights.abs()))
    return np.array(found)


def top_of(x: np.ndarray) -> np.ndarray:
    return x >= np.sort(x)[-round(SHARE * IMAGES)]


@pytest.mark.parametrize("ties", [True, False])
def test_rankings_are_scored_as_scikit_learn_does(ties):
    written, words, holds = world(ties=ties)
    found = judged(written, words, holds)
    for name, score in (("auprc", average_precision_score), ("auc", roc_auc_score)):
        values = found.auc if name == "auc" else found.auprc.value
        np.testing.assert_allclose(values, expected(written, words, holds, score), rtol=1e-5)
    base = expected(written, words, holds, lambda true, x: true.mean())
    np.testing.assert_allclose(found.base_rate, base, rtol=1e-5)


def test_what_is_written_most_is_compared_as_scikit_learn_does():
    written, words, holds = world(ties=False)
    found = judged(written, words, holds)
    f1 = expected(written, words, holds, lambda true, x: f1_score(true, top_of(x)))
    iou = expected(written, words, holds, lambda true, x: jaccard_score(true, top_of(x)))
    np.testing.assert_allclose(found.f1.value, f1, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found.iou.value, iou, rtol=1e-5, atol=1e-7)


def test_correlations_are_those_of_the_signed_sum():
    written, words, holds = world()
    said = torch.einsum("nw,nwi->ni", words.weights, holds[words.indices].float())
    wanted = [pearsonr(x, s)[0] for x, s in zip(written.numpy(), said.numpy(), strict=True)]
    np.testing.assert_allclose(
        judged(written, words, holds).correlation.value, wanted, rtol=1e-4, atol=1e-6
    )


def test_intervals_are_the_jackknifes():
    """Scored anew without each group. Of F1 and IoU the pictures that count as written much on stay as they were."""
    written, words, holds = world()
    whole = judged(written, words, holds)
    groups = torch.arange(IMAGES) % GROUPS
    kept = [groups != group for group in range(GROUPS)]
    found = [judged(written[:, some], words, holds[:, some]) for some in kept]
    for metric in ("correlation", "auprc"):
        folds = torch.stack([getattr(fold, metric).value for fold in found]).double()
        spread = (folds - folds.mean(0)).square().sum(0) * (GROUPS - 1) / GROUPS
        score = getattr(whole, metric)
        half = (score.high - score.low) / 2
        np.testing.assert_allclose(half, 2.093 * spread.sqrt(), rtol=1e-3, atol=1e-5)


def test_an_interval_covers_the_score_of_the_population_most_of_the_time():
    """Small samples of one large world."""
    dice = torch.Generator().manual_seed(1)
    holds = torch.rand(1, 40_000, generator=dice) < 0.1
    written = torch.randn(1, 40_000, generator=dice) + 1.5 * holds
    words = Words(torch.zeros(1, 1, dtype=torch.long), torch.ones(1, 1))
    truth = judged(written, words, holds)
    inside = dict.fromkeys(("correlation", "auprc", "f1"), 0)
    for sample in torch.randperm(40_000, generator=dice).view(80, 500)[:16]:
        found = judged(written[:, sample], words, holds[:, sample])
        for name in inside:
            score = getattr(found, name)
            inside[name] += bool(score.low < getattr(truth, name).value < score.high)
    assert min(inside.values()) >= 12, inside


def act(share: float, seed: int, count: int = 6_000):
    """Neurons that act on exactly the pictures that a text is true of."""
    dice = torch.Generator().manual_seed(seed)
    holds = torch.rand(1, count, generator=dice) < share
    return torch.rand(1, count, generator=dice) * 0.1 + holds, holds


def relabelled(holds, how: str):
    """True of twice as many pictures, or of half of them."""
    dice = torch.Generator().manual_seed(7)
    if how == "doubled":
        return holds | (torch.rand(holds.shape, generator=dice) < holds.float().mean())
    return holds & (torch.rand(holds.shape, generator=dice) < 0.5)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("how", ["doubled", "halved"])
@pytest.mark.parametrize("share", [0.02, 0.002])
@pytest.mark.parametrize("metric", METRICS)
def test_a_score_that_is_reported_notices_wrong_labels(metric, share, how, sign):
    written, holds = act(share, 3)
    words = Words(torch.zeros(1, 1, dtype=torch.long), torch.tensor([[float(sign)]]))
    right = judged(sign * written, words, holds, share)
    wrong = judged(sign * written, words, relabelled(holds, how), share)
    fall = float(getattr(right, metric).value - getattr(wrong, metric).value)
    assert fall > 0.1
    assert getattr(right, metric).value > 0.8


@pytest.mark.parametrize("how", ["halved"])
def test_auc_does_not_notice_them_and_is_no_result(how):
    written, holds = act(0.002, 3)
    words = Words(torch.zeros(1, 1, dtype=torch.long), torch.ones(1, 1))
    other = holds.clone()
    right = judged(written, words, other, 0.002)
    # In the direction in which AUC is usual: words say which pictures, the neuron's are the positives.
    acts = written > 0.5
    fall = roc_auc_score(acts[0], holds[0]) - roc_auc_score(
        acts[0], relabelled(holds, "doubled")[0]
    )
    assert fall < 0.002
    # And in ours: half of the true labels missing.
    wrong = judged(written, words, relabelled(other, how), 0.002)
    assert float(right.auc - wrong.auc) < 0.002
    assert "auc" not in METRICS


def test_saying_nothing_is_worth_nothing_and_a_silent_neuron_has_no_score():
    written, words, holds = world()
    written[4] = 1.0
    holds[words.indices[1]] = False
    weights = words.weights.clone()
    weights[2] = 0
    found = judged(written, Words(words.indices, weights), holds)
    for score in (found.correlation, found.auprc, found.f1, found.iou):
        assert score.value[1] == 0
        assert score.value[2] == 0
        assert score.value[4].isnan()
        assert score.low[4].isnan()


def test_a_share_that_is_none_is_refused():
    with pytest.raises(ValueError, match="share is 2"):
        judged(*world(), share=2.0)


def test_the_best_word_is_the_one_that_correlates_most():
    written, _, holds = world()
    written[4] = 1.0
    index, value = best_words(written, holds.float())
    wanted = np.array(
        [[pearsonr(x, held)[0] for held in holds.float().numpy()] for x in written[:4].numpy()]
    )
    assert index[:4].tolist() == np.abs(wanted).argmax(1).tolist()
    np.testing.assert_allclose(value[:4], wanted[range(4), index[:4]], rtol=1e-4)
    assert value[4] == 0


def test_soft_wpmi_is_the_papers_formula():
    """A literal loop in float64."""
    dice = torch.Generator().manual_seed(5)
    images, texts = (
        torch.nn.functional.normalize(torch.randn(count, 6, generator=dice), dim=1)
        for count in (30, 8)
    )
    active = torch.randn(30, 4, generator=dice)
    found = soft_wpmi(active, similarities(images, texts), top=5)
    cosines = (images.double() @ texts.double().T).numpy()
    given = np.zeros((4, 8))
    for neuron in range(4):
        order = np.argsort(-active[:, neuron].numpy())[:5]
        for text in range(8):
            for place, image in enumerate(order):
                row = np.exp(SHARPNESS * cosines[image])
                belongs = FIRST - place / 5 * (FIRST - LAST)
                given[neuron, text] += math.log(1 + belongs * (row[text] / row.sum() - 1) + 1e-7)
    wanted = given - np.log(np.exp(given).mean(0))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="top is 31"):
        soft_wpmi(active, similarities(images, texts), top=31)


def test_ranks_correlate_as_scipys_do():
    dice = torch.Generator().manual_seed(2)
    one, other = (torch.randn(3, 12, generator=dice).round(decimals=1) for _ in range(2))
    wanted = [spearmanr(a, b)[0] for a, b in zip(one, other, strict=True)]
    np.testing.assert_allclose(spearman(one, other), wanted, rtol=1e-5)
    assert spearman(torch.ones(4), torch.arange(4.0)) == 0
