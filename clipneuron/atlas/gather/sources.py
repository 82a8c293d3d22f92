"""Which stages of a run hold what an atlas shows; what the run does not have is empty."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import pyarrow as pa

from clipneuron.attack.results import AttackResults
from clipneuron.store.run import Run


@dataclass(frozen=True)
class WordPool:
    """The words of all neurons from one pool, and how true they are."""

    name: str
    descriptions: str
    """The stage with them."""
    scores: str = ""
    describer: str = ""
    """Who gave them, as the table `scores` has it."""
    control: str = ""
    """The describer that is the control."""
    others: Mapping[str, str] = field(default_factory=dict)
    """Of each other describer, the stage with its words."""


@dataclass(frozen=True)
class Sources:
    """Names of stages."""

    directions: str
    texts: str
    """The embeddings of the first pool."""
    pools: tuple[WordPool, ...]
    classifier: str = ""
    indirect: str = ""
    predictions: tuple[str, ...] = ()
    claims: str = ""
    """The file with the paper's claims, among the run's reports."""
    concepts: str = ""
    """Of the swept pictures."""
    concept_index: str = ""
    """The pictures of each concept."""
    concept_scores: str = ""
    attack: AttackResults | None = None
    shown: str = ""
    thumbnails: str = ""
    painted: str = ""
    """The thumbnails of adversarial pictures."""
    heats: str = ""
    class_maps: str = ""
    painted_class_maps: str = ""
    profiles: str = ""
    neighbours: str = ""

    @property
    def identity(self) -> dict[str, Any]:
        """As plain values."""
        attack = self.attack.model_dump(mode="json") if self.attack else None
        return {**asdict(replace(self, attack=None)), "attack": attack}


@dataclass(frozen=True)
class Compared:
    """The run that another one is compared with."""

    run: Run
    sources: Sources
    """Of its directions and words alone."""
    changes: pa.Table
    """The columns layer, neuron, cosine and words_shared of the neurons that both have."""
