"""Which stages hold the results of a sweep, as the run records it."""

from clipneuron.store.outlines import Results


class SweepResults(Results):
    """The stages that hold the results of a sweep, or of another line that describes neurons."""

    line = "sweep"
    page = "findings.json"
    layers: tuple[int, ...]
    directions: str
    descriptions: str

    @property
    def folder(self) -> str:
        """Of the findings: that of the descriptions, as it was before there were other lines."""
        return self.name
