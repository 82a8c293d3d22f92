"""Claims about directions that are replaced by sparse sums of texts (Sec. 4, Fig. 4)."""

import re

from clipneuron.evidence.claims.grounds import Evidence
from clipneuron.reports.estimates import Estimate
from clipneuron.reports.verdicts import (
    Claim,
    Figure,
    Judgement,
    above_zero,
    at_least,
    limit,
    missing,
    not_above_zero,
    percent,
)
from clipneuron.tables.ablations import Ablation

RECOVERED, RECOVERED_IN_PART = 0.80, 0.50
CLOSED = 0.50

Sizes = dict[int, Ablation]
Leads = dict[int, Estimate]


def text_claims(evidence: Evidence, layer: int) -> list[Claim]:
    """The claims about a layer: two per pool, and the comparison of pools."""
    pools = evidence.accuracies.texts(layer)
    own = [
        claim
        for pool, sizes in (pools or {"no pool": {}}).items()
        for claim in (
            _more_texts(evidence, layer, pool, sizes),
            _approaches(evidence, layer, pool, sizes),
        )
    ]
    return [*own, _descriptions_first(evidence, layer, pools)]


def _more_texts(evidence: Evidence, layer: int, pool: str, sizes: Sizes) -> Claim:
    keys = list(sizes.values())
    rise = evidence.accuracies.gap(keys[-1], keys[0]) if len(keys) > 1 else None
    name = f"accuracy with m = {max(sizes)} less m = {min(sizes)}:" if sizes else ""
    return evidence.claim(
        "Sec. 4, Fig. 4",
        "More texts per neuron give a better reconstruction",
        "holds if the accuracy with the most texts is clearly above that with the fewest, on the same pictures; does "
        "not hold if clearly below",
        above_zero(rise, name) if rise else missing("reconstructions of two sizes"),
        *_figures(evidence, {m: sizes[m] for m in sorted({*list(sizes)[:1], *list(sizes)[-1:]})}),
        paper_says="rises with m (curve only)",
        of=f"layer {layer}, {pool}",
    )


def _approaches(evidence: Evidence, layer: int, pool: str, sizes: Sizes) -> Claim:
    recovered, judgement = _recovery(evidence, layer, sizes)
    return evidence.claim(
        "Sec. 4, Fig. 4",
        "With the most texts the accuracy approaches that of the directions themselves",
        f"holds if at least {limit(RECOVERED)} of the accuracy between mean-ablation of the layer and its "
        f"reconstruction from first principal components is recovered; in part from {limit(RECOVERED_IN_PART)}; cannot "
        "be judged if the interval reaches over both limits or that span is not clear of zero",
        judgement,
        *_figures(evidence, dict(list(sizes.items())[-1:])),
        Figure("PC 1", evidence.accuracies.accuracy(Ablation("pc", layer))),
        Figure("recovered", recovered),
        paper_says="m = 128 approaches the baseline (curve only)",
        of=f"layer {layer}, {pool}",
    )


def _recovery(evidence: Evidence, layer: int, sizes: Sizes) -> tuple[Estimate | None, Judgement]:
    """The recovered share of the span, and what follows from it."""
    pc, every, found = Ablation("pc", layer), Ablation("all", layer), evidence.accuracies
    span = found.gap(pc, every)
    if span is None or not sizes:
        return None, missing("reconstructions beside PC 1 and mean-ablation")
    if span.low <= 0:
        return None, not_above_zero(span, "the span from mean-ablation to PC 1")
    share = found.ratio((sizes[max(sizes)], every), (pc, every))
    if share is None:
        return None, missing("reconstructions on the same pictures")
    return share, at_least(share, RECOVERED, RECOVERED_IN_PART, "recovered")


def _descriptions_first(evidence: Evidence, layer: int, pools: dict[str, Sizes]) -> Claim:
    full = [pool for pool in pools if "description" in pool]
    words = sorted((pool for pool in pools if pool.startswith("words")), key=_size)
    leads: Leads = {}
    if full and words:
        leads = _leads(evidence, pools[full[0]], pools[words[-1]])
    return evidence.claim(
        "Sec. 4, Fig. 4",
        "Full descriptions do better than single words, and the gap vanishes with more texts",
        "holds if, against the largest pool of words, descriptions are clearly ahead with the fewest texts and with "
        f"the most their lead is at most {limit(CLOSED)} of that; in part if the lead stays; does not hold if "
        "clearly behind with the fewest; pools of descriptions are those with that word in their names",
        _closing(leads),
        *(Figure(f"lead with m = {m}", lead) for m, lead in leads.items()),
        paper_says="curve only",
        of=f"layer {layer}" + (f", {full[0]} against {words[-1]}" if leads else ""),
    )


def _size(pool: str) -> tuple[int, str]:
    """A pool's number of texts as its name has it, such as 10,000 of words-10k; then the name."""
    number = re.search(r"(\d+)(k?)", pool)
    return (int(number[1]) * (1000 if number[2] else 1) if number else 0), pool


def _leads(evidence: Evidence, full: Sizes, words: Sizes) -> Leads:
    """How far descriptions are ahead with the fewest and the most texts that both pools have."""
    common = sorted(full.keys() & words.keys())
    ends = common[:1] + common[1:][-1:]
    gaps = {m: evidence.accuracies.gap(full[m], words[m]) for m in ends}
    return {m: gap for m, gap in gaps.items() if gap}


def _closing(leads: Leads) -> Judgement:
    if len(leads) < 2:
        return missing("pool of descriptions beside a pool of words, with two sizes in common")
    fewest, most = leads.values()
    judgement = above_zero(fewest, "lead with the fewest texts:")
    if judgement.verdict == "holds" and most.value > CLOSED * fewest.value:
        return Judgement("holds in part", f"{judgement.why}; {percent(most.value)} of lead stay")
    return judgement


def _figures(evidence: Evidence, sizes: Sizes) -> tuple[Figure, ...]:
    return tuple(Figure(f"m = {m}", evidence.accuracies.accuracy(key)) for m, key in sizes.items())
