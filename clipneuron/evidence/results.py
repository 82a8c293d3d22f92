"""Which stages hold the evidence, as the run records it."""

from collections.abc import Mapping

from pydantic import Field

from clipneuron.store.outlines import Results


class EvidenceResults(Results):
    """The stages whose tables are read; what a stage has not committed is missing from the report, no error."""

    line = "evidence"
    predictions: tuple[str, ...]
    """Of second order, first order and indirect effects."""
    ablations: str
    """The one of them with the table `significance`."""
    first_order: str
    indirect_directions: str
    directions: str
    descriptions: Mapping[str, str] = Field(default_factory=dict)
    """Of each pool, the stage with the descriptions of the detail layers."""
