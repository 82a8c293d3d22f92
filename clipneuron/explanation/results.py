"""Which stages hold the scores of words, as the run records it."""

from collections.abc import Mapping

from clipneuron.store.outlines import Results


class ExplanationResults(Results):
    """The stages whose tables are read."""

    line = "explanation"
    layers: tuple[int, ...]
    directions: str
    describers: Mapping[str, str]
    """Of each describer, the stage with its words."""
    scores: str
    output_scores: str | None = None
    """None where there are no classes."""
    cosy_scores: str | None = None
    """None where nobody paints."""
