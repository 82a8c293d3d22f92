"""The claims of the paper's sections 3 and 4 and appendices A.1 and A.2, each judged by a criterion of ours.

The paper gives few limits, so most criteria are ours; they are written beside every verdict. Its numbers are those of
ViT-B-32 on ImageNet (Sec. 3.3, Table 1, Fig. 3).
"""

from clipneuron.evidence.claims import paper
from clipneuron.evidence.claims.grounds import Evidence
from clipneuron.evidence.claims.layers import (
    first_order_late,
    large_norms,
    late_layers,
    one_direction,
    right_before,
    small_norms,
    spread_over_layers,
)
from clipneuron.evidence.claims.neurons import (
    effective_share,
    indirect_accuracy,
    indirect_variance,
    significant_share,
    variance_explained,
)
from clipneuron.evidence.claims.texts import text_claims
from clipneuron.reports.verdicts import Claim, Figure, Judgement, missing, percent
from clipneuron.tables.ablations import NONE

TOLERANCE = 0.02


def all_claims(evidence: Evidence) -> list[Claim]:
    """Every claim, in the paper's order; what was not computed says so."""
    details = evidence.setting.detail_layers
    return [
        baseline(evidence),
        late_layers(evidence),
        small_norms(evidence),
        large_norms(evidence),
        significant_share(evidence),
        effective_share(evidence),
        one_direction(evidence),
        *(variance_explained(evidence, layer) for layer in details),
        *(indirect_variance(evidence, layer) for layer in details),
        *(indirect_accuracy(evidence, layer) for layer in details),
        *(claim for layer in details for claim in text_claims(evidence, layer)),
        spread_over_layers(evidence),
        first_order_late(evidence),
        right_before(evidence),
    ]


def baseline(evidence: Evidence) -> Claim:
    """The undisturbed accuracy."""
    ours = evidence.accuracies.accuracy(NONE)
    if ours is None:
        judgement = missing("labelled picture with a prediction")
    elif not evidence.setting.is_paper_model:
        judgement = Judgement("cannot be judged", "another model on other pictures")
    else:
        far = ours.low > paper.ACCURACY + TOLERANCE or ours.high < paper.ACCURACY - TOLERANCE
        judgement = Judgement(
            "does not hold" if far else "holds", f"accuracy {percent(ours.value)}"
        )
    return evidence.claim(
        "Fig. 3",
        "Undisturbed zero-shot accuracy of the classifier",
        f"holds if the interval comes within {TOLERANCE * 100:.0f} points of the paper's figure (read off the chart)",
        judgement,
        Figure("accuracy", ours, paper.ACCURACY),
    )
