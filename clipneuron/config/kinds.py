"""The kinds of stages that each line of work has, in their order: where it may be stopped.

A pipeline knows its own kinds, but only once torch is imported and the model loaded; these are here to judge a word by.
The levels at which summaries are merged are not among them: how many there are depends on the collection.
"""

SWEEP = ("plan", "texts", "pool", "calibrate", "effects", "directions", "descriptions")

EVIDENCE = (
    *SWEEP,
    "evaluation",
    "classifier",
    "reconstructions",
    "ablations",
    "first-order-means",
    "first-order",
    "activation-means",
    "indirect",
    "indirect-directions",
    "indirect-ablations",
)

EXPLANATION = (
    *SWEEP,
    "held-out",
    "projections",
    "statements",
    "witness-texts",
    "witness",
    "nearest-words",
    "dissected-words",
    "best-words",
    "other-words",
    "random-words",
    "scores",
    "classifier",
    "output-scores",
    "painted-words",
    "cosy-scores",
)

CONCEPTS = (
    *SWEEP,
    "concept-pictures",
    "direct-effects",
    "head-texts",
    "concepts",
    "concept-index",
    "statements",
    "concept-scores",
)

ATTACK = (
    *SWEEP,
    "classifier",
    "activation-means",
    "indirect",
    "indirect-directions",
    "words",
    "captions",
    "pictures",
    "verdicts",
    "screening",
)

SEGMENTATION = (
    "plan",
    "calibrate",
    "effects",
    "directions",
    "segmentation-plan",
    "classifier",
    "class-neurons",
    "segmentations",
    "segmentation-scores",
)
