"""Which stages hold the concepts of pictures, as the run records it."""

from clipneuron.store.outlines import Results


class ConceptResults(Results):
    """The stages whose tables are read."""

    line = "concepts"
    pictures: str = ""
    """The stage that has planned the pictures; empty in a record from before it was kept."""
    concepts: str
    index: str
    scores: str | None = None
    """None where nobody says what is true of the pictures."""
