"""Which stages hold the results of a segmentation, as the run records it."""

from clipneuron.store.outlines import Results


class SegmentationResults(Results):
    """The stages whose tables are read."""

    line = "segmentation"
    methods: tuple[str, ...]
    protocols: tuple[str, ...]
    """Methods are compared under the first."""
    directions: str
    classifier: str
    neurons: str
    segmentations: str
    scores: str
