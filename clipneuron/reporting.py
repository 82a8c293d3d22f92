"""What a finished reproduction says: which tables its report is made of, and the setting that is written above it."""

from clipneuron.atlas.evidence import EvidenceKeys, EvidenceReport
from clipneuron.atlas.grounds import Setting
from clipneuron.atlas.neurons import NeuronCard, neuron_cards, selective_neurons
from clipneuron.readings import planned_pictures
from clipneuron.reproduction import Reproduction
from clipneuron.storage.store import Run
from clipneuron.sweep import parts_of
from clipneuron.version import __version__

SHOWN = 8
"""Neurons that are shown where none are asked for."""

_OTHER_MODEL = "the paper's figures are of OpenAI's ViT-B-32 on ImageNet"
_DEMO = "the demo model is a small CLIP of rendered scenes: its figures say nothing about CLIP"


def evidence_report(
    reproduction: Reproduction, run: Run, caveat: str = "", **more: str
) -> EvidenceReport:
    """The report of a finished run; `more` is written into the setting. Raises StoreError for damaged tables."""
    listing = planned_pictures(run, parts_of(run))
    return EvidenceReport.of(
        run,
        _keys(reproduction, run),
        _setting(reproduction, caveat or _caveat(reproduction), more),
        lambda index: reproduction.sweep.collection.read(listing[index]),
        _cards(reproduction, run),
    )


def write_report(reproduction: Reproduction, run: Run, report: EvidenceReport) -> str:
    """Put the report's files into the run; where its page is."""
    folder = f"evidence-{reproduction.ablations(run).name}"
    places = {name: run.put_file(f"{folder}/{name}", data) for name, data in report.files().items()}
    return places["report.md"]


def _keys(reproduction: Reproduction, run: Run) -> EvidenceKeys:
    ablations, first_order = reproduction.ablations(run).name, reproduction.first_order(run).name
    indirect = reproduction.indirect_ablations(run).name
    return EvidenceKeys(
        predictions=(ablations, first_order, indirect),
        ablations=ablations,
        first_order=first_order,
        indirect_directions=reproduction.interventions(run).directions.name,
        directions=reproduction.sweep.keys(run).directions,
        descriptions={
            pool.name: reproduction.descriptions(pool, run)[1].name for pool in reproduction.pools
        },
    )


def _setting(reproduction: Reproduction, caveat: str, more: dict[str, str]) -> Setting:
    sweep, asked, recipe = reproduction.sweep, reproduction.asked, reproduction.sweep.recipe
    return Setting(
        recipe=recipe.name,
        model=" ".join(filter(None, (sweep.clip.name, recipe.pretrained))),
        images=recipe.images,
        images_count=len(sweep.collection),
        evaluation=asked.images,
        evaluation_count=len(reproduction.collection),
        classes=len(reproduction.classes),
        depth=sweep.clip.layers,
        layers=sweep.layers,
        detail_layers=reproduction.detail_layers,
        split=recipe.split,
        normalize=recipe.normalize,
        top=recipe.top,
        reconstruction=f"{asked.reconstruction}, texts prepared {recipe.preparation}",
        sizes=reproduction.sizes,
        neurons_drawn=asked.indirect_neurons,
        indirect_images=min(asked.indirect_images, len(sweep.collection)),
        is_paper_model=_is_paper_model(reproduction),
        caveat=caveat,
        more={"clipneuron": __version__, **more},
    )


def _is_paper_model(reproduction: Reproduction) -> bool:
    recipe = reproduction.sweep.recipe
    return (recipe.model, recipe.pretrained) == ("ViT-B-32", "openai")


def _caveat(reproduction: Reproduction) -> str:
    if reproduction.sweep.recipe.model == "demo":
        return _DEMO
    return "" if _is_paper_model(reproduction) else _OTHER_MODEL


def _cards(reproduction: Reproduction, run: Run) -> list[NeuronCard]:
    """The neurons that are asked for, else the most selective ones of the layers in detail."""
    keys, asked = reproduction.sweep.keys(run), reproduction.asked.neurons
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
