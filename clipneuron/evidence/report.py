"""The evidence report: every claim of the paper with its number beside ours, and the pictures and data behind it."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa

from clipneuron.demo import CAVEAT
from clipneuron.evidence import plots
from clipneuron.evidence.accuracies import Accuracies
from clipneuron.evidence.claims.all import all_claims
from clipneuron.evidence.claims.grounds import Evidence, Setting, sentence
from clipneuron.evidence.distributions import Distributions, Variances
from clipneuron.evidence.pipeline import Reproduction
from clipneuron.evidence.results import EvidenceResults
from clipneuron.readers.sweep import Planned
from clipneuron.reports import markup
from clipneuron.reports.drawing import png
from clipneuron.reports.estimates import Estimate
from clipneuron.reports.verdicts import Claim, with_interval
from clipneuron.store import reports
from clipneuron.store.store import Run
from clipneuron.sweep.interventions import indirect_top
from clipneuron.sweep.neurons import NeuronCard, neuron_cards, selective_neurons
from clipneuron.sweep.results import SweepResults
from clipneuron.sweep.sheet import neurons_sheet
from clipneuron.tables.ablations import Ablation
from clipneuron.version import __version__

if TYPE_CHECKING:
    from rich.table import Table

NAMED_FAILURES = 10
CLAIM = ("where", "claim", "paper", "ours", "difference", "verdict")
SPARE = ("difference", "paper", "ours")
"""What a narrow terminal leaves to the report."""
SHORT = {"all": "w/o all", "large": "w/o large", "small": "w/o small", "pc": "from PC 1"}


@dataclass(frozen=True)
class Spoken:
    """The words of a neuron with their signs, by pool (Tables 2 and 5)."""

    layer: int
    neuron: int
    texts: Mapping[str, tuple[tuple[str, float], ...]]


@dataclass(frozen=True)
class EvidenceReport:
    """What a finished run says of the paper's claims, for a terminal, a page and programs."""

    evidence: Evidence
    claims: list[Claim]
    cards: Sequence[NeuronCard]
    spoken: Sequence[Spoken]
    read_picture: Callable[[int], bytes]

    @classmethod
    def of(
        cls,
        run: Run,
        keys: EvidenceResults,
        setting: Setting,
        read_picture: Callable[[int], bytes],
        cards: Sequence[NeuronCard],
    ) -> "EvidenceReport":
        """Read the tables of a run; `read_picture` gives a picture of D by its number, `cards` are shown with words.

        Raises StoreError for tables that cannot be read.
        """
        accuracies = Accuracies.of(run, keys.predictions)
        distributions = Distributions.of(
            run, keys.directions, keys.ablations, keys.indirect_directions, keys.first_order
        )
        evidence = Evidence(setting, accuracies, distributions)
        return cls(evidence, all_claims(evidence), cards, _spoken(run, keys, cards), read_picture)

    def tables(self) -> "list[Table]":
        """The claims and the accuracies per layer, for a terminal."""
        return [self._claims_table(), self._layers_table()]

    def markdown(self) -> str:
        """The page `report.md`; it shows the pictures that `files` puts beside it."""
        failed = self.evidence.accuracies.failed
        return markup.page(
            "evidence/report.md.jinja",
            setting=self.evidence.setting,
            sentence=sentence,
            accuracies=self.evidence.accuracies,
            failed=[failed[index] for index in sorted(failed)],
            named=NAMED_FAILURES,
            headings=(markup.Markdown("#"), *CLAIM),
            numbered=[(number, *_cells(claim)) for number, claim in enumerate(self.claims, 1)],
            claims=self.claims,
            pictures={name: words for name, (_, words) in self._drawn.items()},
            pools=list(self.spoken[0].texts) if self.spoken else [],
            spoken=[_texts(neuron) for neuron in self.spoken],
            data=("claims.json", *self._tables()),
        )

    def files(self) -> dict[str, bytes]:
        """The report's folder: name -> content. The same bytes for the same tables."""
        claims = json.dumps([claim.as_json() for claim in self.claims], indent=1).encode()
        return {
            "report.md": self.markdown().encode(),
            "claims.json": claims,
            **{name: picture for name, (picture, _) in self._drawn.items()},
            **{name: _csv(table) for name, table in self._tables().items()},
        }

    @cached_property
    def _drawn(self) -> dict[str, tuple[bytes, str]]:
        """File name -> PNG and the words below it."""
        drawn = plots.drawn(self.evidence)
        if self.cards:
            setting = self.evidence.setting
            title = f"{setting.model}; D: {setting.images}"
            sheet = neurons_sheet(self.cards, self.read_picture, title)
            words = (
                "Neurons with their top words and the pictures of largest effect (Fig. 5 and 12)"
            )
            drawn["neurons.png"] = png(sheet), words
        return drawn

    def _tables(self) -> dict[str, pa.Table]:
        """File name -> the data behind the pictures."""
        distributions = self.evidence.distributions
        found = {
            "accuracies.csv": self.evidence.accuracies.table(),
            "neurons.csv": distributions.table(),
            "heads.csv": _heads(distributions),
            "indirect.csv": _indirect(distributions.indirect),
        }
        return {name: table for name, table in found.items() if table.num_rows}

    def _claims_table(self) -> "Table":
        rows, title = map(_cells, self.claims), "The paper's claims"
        return markup.terminal(title, CLAIM, rows, lines=True, spare=SPARE)

    def _layers_table(self) -> "Table":
        found, headings = self.evidence.accuracies, ("layer", *SHORT.values())
        rows = [
            (str(layer), *(_shown(found.accuracy(Ablation(name, layer))) for name in SHORT))
            for layer in found.layers("all")
        ]
        title = "Accuracy with a layer's effects replaced"
        spare = (SHORT["pc"], SHORT["small"], SHORT["large"])
        return markup.terminal(title, headings, rows, right=headings, spare=spare)


def _cells(claim: Claim) -> tuple[str, ...]:
    statement = claim.statement
    return claim.where, statement, claim.paper, claim.ours, claim.difference, claim.verdict


def _shown(figure: Estimate | None) -> str:
    return with_interval(figure) if figure else "-"


def _texts(neuron: Spoken) -> tuple[str, ...]:
    """The row of a neuron: its texts of a pool are lines of one cell."""
    texts = ("\n".join(map(_signed, own)) for own in neuron.texts.values())
    return str(neuron.layer), f"#{neuron.neuron}", *texts


def _signed(spoken: tuple[str, float]) -> str:
    text, weight = spoken
    return f"{'+' if weight >= 0 else '-'}“{text}”"


def _spoken(run: Run, keys: EvidenceResults, cards: Sequence[NeuronCard]) -> list[Spoken]:
    """The texts of the cards' neurons, pool by pool; a layer that a pool does not describe has none."""
    pools = {pool: stage for pool, stage in keys.descriptions.items() if run.done(stage)}
    texts: dict[tuple[int, int], dict[str, tuple[tuple[str, float], ...]]] = {
        (card.layer, card.neuron): {} for card in cards
    }
    for pool, stage in pools.items():
        for layer in sorted({card.layer for card in cards}):
            neurons = [card.neuron for card in cards if card.layer == layer]
            described = SweepResults(
                name=stage, layers=(), directions=keys.directions, descriptions=stage
            )
            for card in neuron_cards(run, described, layer, neurons):
                texts[layer, card.neuron][pool] = card.words
    return [Spoken(*place, words) for place, words in texts.items()] if pools else []


def _csv(table: pa.Table) -> bytes:
    columns: Iterable[list[object]] = (column.to_pylist() for column in table.columns)
    return markup.csv(table.schema.names, zip(*columns, strict=True))


def _heads(distributions: Distributions) -> pa.Table:
    layers, heads = distributions.heads.shape
    places = [(layer, head) for layer in range(layers) for head in range(heads)]
    return pa.table(
        {
            "layer": pa.array([layer for layer, _ in places], pa.int16()),
            "head": pa.array([head for _, head in places], pa.int16()),
            "size": distributions.heads.ravel(),
        }
    )


def _indirect(found: Mapping[int, Variances]) -> pa.Table:
    parts = [
        pa.table(
            {
                "layer": [layer] * len(own.neurons),
                "neuron": own.neurons,
                "indirect": own.indirect,
                "indirect_all": own.indirect_all,
                "second_order": own.second_order,
                "second_order_all": own.second_order_all,
            }
        )
        for layer, own in found.items()
    ]
    return pa.concat_tables(parts) if parts else pa.table({"layer": []})


SHOWN = 8
"""Neurons that are shown where none are asked for."""

_OTHER_MODEL = "the paper's figures are of OpenAI's ViT-B-32 on ImageNet"


def evidence_report(
    reproduction: Reproduction, run: Run, caveat: str = "", **more: str
) -> EvidenceReport:
    """The report of a finished run; `more` is written into the setting. Raises StoreError for damaged tables."""
    planned = Planned.of(run)
    stages = reproduction.stages(planned)
    return EvidenceReport.of(
        run,
        stages.results,
        _setting(reproduction, caveat or _caveat(reproduction), more),
        lambda index: reproduction.sweep.collection.read(planned.pictures[index]),
        _cards(reproduction, run, stages.swept.results),
    )


def write_report(reproduction: Reproduction, run: Run, report: EvidenceReport) -> str:
    """Put the report's files into the run; where its page is."""
    results = reproduction.results(run)
    return reports.put(run, results, report.files())[results.page]


def _setting(reproduction: Reproduction, caveat: str, more: dict[str, str]) -> Setting:
    sweep, asked, recipe = reproduction.sweep, reproduction.asked, reproduction.sweep.recipe
    return Setting(
        recipe=recipe.name,
        model=" ".join(filter(None, (sweep.clip.name, recipe.pretrained))),
        images=recipe.images,
        images_count=len(sweep.collection),
        evaluation=asked.images,
        evaluation_count=len(reproduction.collection),
        has_other_pictures=reproduction.has_other_pictures,
        classes=len(reproduction.classes),
        depth=sweep.clip.layers,
        layers=sweep.layers,
        detail_layers=reproduction.detail_layers,
        split=recipe.split,
        normalize=recipe.normalize,
        top=recipe.top,
        reconstruction=f"{asked.reconstruction}, texts prepared {recipe.preparation}",
        sizes=reproduction.sizes,
        neurons_drawn=min(asked.indirect_neurons, sweep.clip.neurons),
        neurons_named=len(asked.neurons),
        indirect_images=min(asked.indirect_images, len(sweep.collection)),
        indirect_top=indirect_top(sweep),
        is_paper_model=recipe.is_papers_model,
        caveat=caveat,
        more={"clipneuron": __version__, **more},
    )


def _caveat(reproduction: Reproduction) -> str:
    recipe = reproduction.sweep.recipe
    if recipe.model == "demo":
        return CAVEAT
    return "" if recipe.is_papers_model else _OTHER_MODEL


def _cards(reproduction: Reproduction, run: Run, keys: SweepResults) -> list[NeuronCard]:
    """The neurons that are asked for, else the most selective ones of the layers in detail."""
    asked = reproduction.asked.neurons
    if not asked:
        each = -(-SHOWN // len(reproduction.detail_layers))
        layers = reproduction.detail_layers
        return [card for layer in layers for card in selective_neurons(run, keys, layer, each)]
    layers = tuple(sorted({layer for layer, _ in asked}))
    return [
        card
        for layer in layers
        for card in neuron_cards(run, keys, layer, [n for other, n in asked if other == layer])
    ]
