"""Which stages hold an attack's results, as the run records it: what the review and the trace need of it."""

from clipneuron.store.outlines import Results
from clipneuron.sweep.results import SweepResults
from clipneuron.tables.experiments import Pair


class AttackResults(Results):
    """The stages that hold the results of an attack, and which experiments it consists of."""

    line = "attack"
    page = "table3.md"
    model: str
    """The model under attack, for people."""
    comparable: bool
    """Whether model and makers are those of the paper's Table 3."""
    pairs: tuple[Pair, ...]
    methods: tuple[str, ...]
    repeats: int
    swept: SweepResults
    """Of the sweep that the words are taken from."""
    words: str
    captions: str
    pictures: str
    verdicts: str
    screening: str | None = None
    """None where nothing makes suggestions."""
