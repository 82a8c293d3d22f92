"""Every verdict turns where its criterion says, and nothing is judged by what is noise or was not computed."""

from collections.abc import Mapping

import numpy as np
import pytest

from clipneuron.evidence.claims import layers as layer_claims
from clipneuron.evidence.claims import neurons as neuron_claims
from clipneuron.evidence.claims import texts as text_claims
from clipneuron.evidence.claims.all import all_claims, baseline
from clipneuron.evidence.claims.grounds import Evidence
from clipneuron.evidence.distributions import Variances
from clipneuron.reports.estimates import Estimate
from clipneuron.reports.verdicts import VERDICTS, Claim, above_zero, at_least, at_most
from tests.samples import evidence_tables as samples
from tests.samples.evidence_tables import DEPTH, NONE, Key

WHOLE = {NONE: 620, **{("all", layer, -1): 610 for layer in range(DEPTH - 1)}, ("all", 9, -1): 320}


def evidence(
    right: Mapping[Key, int] | None = None,
    figures: Mapping[str, object] | None = None,
    **setting: object,
) -> Evidence:
    known = samples.distributions(**(figures or {}))
    return Evidence(samples.setting(**setting), samples.counted(right or {}), known)


@pytest.mark.parametrize(
    ("figure", "verdict"),
    [
        ((0.10, 0.05, 0.15), "holds"),
        ((0.1001, 0.05, 0.15), "holds in part"),
        ((0.25, 0.20, 0.30), "holds in part"),
        ((0.2501, 0.20, 0.30), "does not hold"),
        ((0.10, 0.05, 0.26), "cannot be judged"),
        ((0.30, 0.10, 0.50), "cannot be judged"),
        ((0.30, 0.11, 0.50), "does not hold"),
    ],
)
def test_small_enough(figure: tuple[float, float, float], verdict: str):
    assert at_most(Estimate(*figure), 0.10, 0.25, "it").verdict == verdict
    # The mirror image is large enough.
    value, low, high = figure
    assert at_least(Estimate(-value, -high, -low), -0.10, -0.25, "it").verdict == verdict


@pytest.mark.parametrize(
    ("figure", "verdict"),
    [
        ((0.1, 0.001, 0.2), "holds"),
        ((0.1, 0.0, 0.2), "cannot be judged"),
        ((-0.1, -0.2, 0.0), "cannot be judged"),
        ((-0.1, -0.2, -0.001), "does not hold"),
    ],
)
def test_clearly_above_zero(figure: tuple[float, float, float], verdict: str):
    assert above_zero(Estimate(*figure), "it").verdict == verdict


@pytest.mark.parametrize(
    ("right", "is_paper_model", "verdict"),
    [
        (620, True, "holds"),
        (670, True, "holds"),
        (680, True, "does not hold"),
        (560, True, "does not hold"),
        (620, False, "cannot be judged"),
    ],
)
def test_the_baseline_is_the_papers_if_the_model_is(right: int, is_paper_model: bool, verdict: str):
    claim = baseline(evidence({NONE: right}, is_paper_model=is_paper_model))
    assert claim.verdict == verdict
    expected = f"{right / 10 - 62:+.1f} points" if is_paper_model else "another model"
    assert claim.difference == expected


@pytest.mark.parametrize(
    ("drops", "verdict"),
    [
        ({8: 300}, "holds"),
        ({7: 300}, "does not hold"),
        ({9: 300, 7: 280}, "holds in part"),
        ({9: 300, 7: 200}, "holds"),
        ({9: 2}, "cannot be judged"),
    ],
)
def test_the_layer_that_matters_most_is_late(drops: Mapping[int, int], verdict: str):
    layers = dict.fromkeys(range(DEPTH - 1), 0) | drops
    right = {NONE: 620} | {("all", layer, -1): 620 - drop for layer, drop in layers.items()}
    assert layer_claims.late_layers(evidence(right)).verdict == verdict


def test_late_layers_alone_cannot_show_that_late_layers_matter_most():
    right = {NONE: 620, ("all", 8, -1): 600, ("all", 9, -1): 320}
    assert layer_claims.late_layers(evidence(right)).verdict == "cannot be judged"


@pytest.mark.parametrize("name", ["small", "pc"])
@pytest.mark.parametrize(
    ("drop", "verdict"),
    [
        (-5, "holds"),
        (30, "holds"),
        (31, "holds in part"),
        (75, "holds in part"),
        (76, "does not hold"),
    ],
)
def test_nearly_nothing_is_a_share_of_the_worst_layers_drop(name: str, drop: int, verdict: str):
    claims = {"small": layer_claims.small_norms, "pc": layer_claims.one_direction}
    right = WHOLE | {(name, 9, -1): 620 - drop}
    assert claims[name](evidence(right)).verdict == verdict


@pytest.mark.parametrize(("drop", "verdict"), [(75, "holds"), (76, "holds in part")])
def test_no_other_layer_may_lose_much(drop: int, verdict: str):
    right = WHOLE | {("small", 9, -1): 620, ("small", 4, -1): 620 - drop}
    assert layer_claims.small_norms(evidence(right)).verdict == verdict


@pytest.mark.parametrize(
    ("drop", "verdict"),
    [(150, "holds"), (149, "holds in part"), (75, "holds in part"), (74, "does not hold")],
)
def test_large_effects_cost_much(drop: int, verdict: str):
    right = WHOLE | {("large", 9, -1): 620 - drop}
    assert layer_claims.large_norms(evidence(right)).verdict == verdict


def test_shares_of_a_drop_that_may_be_none_are_not_judged():
    right = {NONE: 620, ("all", 3, -1): 619, ("all", 9, -1): 618}
    right |= {(name, 9, -1): 618 for name in ("small", "large", "pc")}
    found = evidence(right)
    for claim in (layer_claims.small_norms, layer_claims.large_norms, layer_claims.one_direction):
        assert claim(found).verdict == "cannot be judged"


@pytest.mark.parametrize(
    ("early", "verdict"),
    [
        (100, "holds"),
        (101, "holds in part"),
        (250, "holds in part"),
        (251, "does not hold"),
    ],
)
def test_first_order_effects_matter_late(early: int, verdict: str):
    right = {NONE: 620, ("attention", 7, -1): 620 - early, ("attention", 11, -1): 120}
    assert layer_claims.first_order_late(evidence(right)).verdict == verdict


@pytest.mark.parametrize(
    ("step", "verdict"),
    [(8, "holds"), (9, "holds in part"), (6, "holds"), (5, "does not hold")],
)
def test_second_order_comes_right_before_first_order(step: int, verdict: str):
    right = {NONE: 620} | {("all", layer, -1): 620 for layer in range(DEPTH - 1)}
    right |= {("all", 5, -1): 320}
    right |= {("attention", layer, -1): 620 - 400 * (layer >= step) for layer in range(DEPTH)}
    assert layer_claims.right_before(evidence(right)).verdict == verdict


def test_drops_that_may_be_none_do_not_move_a_centre():
    right = {NONE: 620} | {("all", layer, -1): 618 for layer in range(DEPTH - 1)}
    right |= {("all", 9, -1): 320}
    right |= {("attention", layer, -1): 620 - 400 * (layer >= 9) for layer in range(DEPTH)}
    claim = layer_claims.right_before(evidence(right))
    assert claim.ours == "centres: second order at layer 9.0, first order at layer 9.0"
    assert claim.verdict == "does not hold"


def test_the_order_is_not_judged_by_some_of_the_layers():
    right = {NONE: 620, ("all", 8, -1): 320, ("attention", 11, -1): 120}
    assert layer_claims.right_before(evidence(right)).verdict == "cannot be judged"


def test_two_models_are_not_compared_by_one_run():
    claim = layer_claims.spread_over_layers(evidence(WHOLE))
    assert claim.verdict == "cannot be judged"
    assert claim.ours.startswith("1 of 11 layers lose at least half of it; largest drop: 30.0 %")


def few_pictures(above: float, energy: float, **setting: object) -> Claim:
    """The claim of these shares of other pictures and of their energy, alike for all neurons."""
    figures = {"above": {3: np.full(10, above)}, "energy": {3: np.full(10, energy)}}
    return neuron_claims.significant_share(evidence(figures=figures, **setting))


@pytest.mark.parametrize(
    ("above", "energy", "verdict"),
    [
        (0.02, 0.5, "holds"),
        (0.02, 0.499, "holds in part"),
        (0.02, 0.145, "holds in part"),
        (0.02, 0.143, "does not hold"),
        (0.04, 0.5, "holds"),
        (0.041, 0.9, "does not hold"),
    ],
)
def test_few_pictures_carry_most_of_the_energy(above: float, energy: float, verdict: str):
    assert few_pictures(above, energy).verdict == verdict


def test_a_limit_that_holds_by_construction_decides_nothing():
    """The share of pictures above D's quantile is near 2 % whatever the effects are."""
    verdicts = {few_pictures(0.02, energy).verdict for energy in (0.05, 0.3, 0.9)}
    assert verdicts == {"does not hold", "holds in part", "holds"}


@pytest.mark.parametrize("setting", [{"images_count": 249}, {"has_other_pictures": False}])
def test_concentration_is_not_judged_without_other_pictures_or_on_a_small_d(
    setting: dict[str, object],
):
    assert few_pictures(0.02, 0.9).verdict == "holds"
    assert few_pictures(0.02, 0.9, **setting).verdict == "cannot be judged"


def test_a_normal_distribution_has_the_energy_that_the_criterion_says():
    effects = np.random.default_rng(0).normal(size=400_000)
    squares = np.sort(effects**2)[::-1]
    share = squares[: len(squares) // 50].sum() / squares.sum()
    assert share == pytest.approx(neuron_claims.NORMAL_ENERGY, abs=2e-3)


@pytest.mark.parametrize(
    ("shares", "verdict"),
    [
        ([0.0999] * 4, "holds"),
        ([0.1001] * 4, "holds in part"),
        ([0.3333] * 4, "holds in part"),
        ([0.3334] * 4, "does not hold"),
        ([0.01, 0.9], "cannot be judged"),
        ([0.05, np.nan], "holds"),
    ],
)
def test_effects_rest_on_few_pictures(shares: list[float], verdict: str):
    figures = {"participation": {3: np.array(shares)}}
    assert neuron_claims.effective_share(evidence(figures=figures)).verdict == verdict


@pytest.mark.parametrize(
    ("share", "verdict"),
    [
        (0.401, "holds"),
        (0.399, "holds in part"),
        (0.201, "holds in part"),
        (0.199, "does not hold"),
    ],
)
def test_effects_are_nearly_one_dimensional(share: float, verdict: str):
    found = evidence(figures={"explained": {9: np.full(5, share), 3: np.full(5, 0.9)}})
    assert neuron_claims.variance_explained(found, 9).verdict == verdict


@pytest.mark.parametrize(
    ("indirect", "verdict"),
    [
        ([0.24, 0.25], "holds"),
        ([0.25, 0.26], "holds in part"),
        ([0.4, 0.6], "cannot be judged"),
        ([0.6, 0.7], "does not hold"),
        ([0.2, np.nan], "holds"),
    ],
)
def test_indirect_effects_are_less_one_dimensional(indirect: list[float], verdict: str):
    second = np.full(2, 0.5)
    known = Variances(np.arange(2), 64, np.array(indirect), second, second, second)
    claim = neuron_claims.indirect_variance(evidence(figures={"indirect": {9: known}}), 9)
    assert claim.verdict == verdict


@pytest.mark.parametrize(
    ("held", "ablated", "verdict"),
    [
        (520, 320, "holds"),
        (320, 320, "cannot be judged"),
        (250, 320, "does not hold"),
        (640, 619, "cannot be judged"),
    ],
)
def test_holding_a_layer_costs_less(held: int, ablated: int, verdict: str):
    right = {NONE: 620, ("indirect", 9, -1): held, ("all", 9, -1): ablated}
    claim = neuron_claims.indirect_accuracy(evidence(right, is_paper_model=True), 9)
    assert claim.verdict == verdict
    assert claim.difference == f"{held / 10 - 52.3:+.1f} points; {ablated / 10 - 29.6:+.1f} points"


def texts(**counts: int) -> dict[Key, int]:
    """Counts by pool and size, as in words_4."""
    pairs = ((name.rpartition("_"), count) for name, count in counts.items())
    return {(f"texts:{pool}:{size}", 9, -1): count for (pool, _, size), count in pairs}


@pytest.mark.parametrize(
    ("most", "rises", "approaches"),
    [
        (520, "holds", "holds"),
        (519, "holds", "holds in part"),
        (400, "holds", "holds in part"),
        (399, "holds", "does not hold"),
        (300, "cannot be judged", "does not hold"),
        (250, "does not hold", "does not hold"),
    ],
)
def test_more_texts_approach_the_direction(most: int, rises: str, approaches: str):
    right = {NONE: 620, ("all", 9, -1): 200, ("pc", 9, -1): 600}
    found = evidence(right | texts(words_4=300, words_128=most))
    more, near, lead = text_claims.text_claims(found, 9)
    assert (more.verdict, near.verdict, lead.verdict) == (rises, approaches, "not computed")


def test_nothing_is_recovered_where_nothing_was_lost():
    right = {NONE: 620, ("all", 9, -1): 599, ("pc", 9, -1): 600}
    _, near, _ = text_claims.text_claims(evidence(right | texts(words_4=300, words_128=600)), 9)
    assert near.verdict == "cannot be judged"


@pytest.mark.parametrize(
    ("fewest", "most", "verdict"),
    [
        (400, 550, "holds"),
        (400, 551, "holds in part"),
        (300, 500, "cannot be judged"),
        (250, 500, "does not hold"),
    ],
)
def test_descriptions_lead_at_first(fewest: int, most: int, verdict: str):
    words = {("texts:words-10k:4", 9, -1): 1, ("texts:words-10k:128", 9, -1): 2}
    words |= {("texts:words-30k:4", 9, -1): 300, ("texts:words-30k:128", 9, -1): 500}
    full = {("texts:class-descriptions:4", 9, -1): fewest}
    full |= {("texts:class-descriptions:128", 9, -1): most}
    claim = text_claims.text_claims(evidence({NONE: 620} | words | full), 9)[-1]
    assert claim.verdict == verdict


def test_the_largest_pool_of_words_is_the_one_of_most_words():
    counts = {
        (f"texts:{pool}:{m}", 9, -1): 300
        for pool in ("class-descriptions", "words-100", "words-5000", "words-10k")
        for m in (4, 128)
    }
    claim = text_claims.text_claims(evidence({NONE: 620} | counts), 9)[-1]
    assert "against words-10k" in claim.setting


def test_nothing_computed_is_nothing_judged():
    claims = all_claims(evidence())
    assert {claim.verdict for claim in claims} == {"not computed"}
    assert {claim.ours for claim in claims} == {"not computed"}
    assert not any("None" in claim.setting for claim in claims)


def test_every_claim_says_where_it_is_from_and_when_it_holds():
    claims = all_claims(evidence(WHOLE))
    assert all(claim.where and claim.criterion and claim.judgement.why for claim in claims)
    assert {claim.verdict for claim in claims} <= set(VERDICTS)
    assert len({claim.statement for claim in claims}) == len(claims)


@pytest.mark.parametrize(
    ("named", "said"), [(0, "random, "), (2, "random, and 2 that were named, ")]
)
def test_named_neurons_are_not_called_random(named: int, said: str):
    drawn = dict(samples.setting(neurons_drawn=8, neurons_named=named).rows())["indirect effects"]
    assert drawn.startswith(f"8 neurons per layer, drawn at {said}")
