"""The cards of a few neurons, without a site: for one file, for a notebook."""

import io
from collections.abc import Sequence

from clipneuron.atlas import addresses
from clipneuron.atlas.cards import Neuron, NeuronCard
from clipneuron.atlas.gather.blocks import BlockReader
from clipneuron.atlas.gather.shared import Shared
from clipneuron.atlas.html.links import Site
from clipneuron.atlas.inputs import recipe_of
from clipneuron.atlas.pipeline import AtlasLine, AtlasStages
from clipneuron.engine.runner import Runner
from clipneuron.reports.consoles import Console
from clipneuron.store.store import Run, Store

Gathered = tuple[list[NeuronCard], Site, dict[str, bytes]]
"""Cards, what their pages share, and the WebP bytes of their pictures by `Tile.path`."""


def cards_of(run: Run, neurons: Sequence[Neuron]) -> Gathered:
    """The cards of some neurons of a finished run, in the order asked for; computes in this process what they show.

    Raises ValueError for neurons that the run does not have, for one that is not finished, and for a model or pictures
    that do not exist any more; StoreError.
    """
    store = Store(run.url.rpartition("/")[0])
    line = AtlasLine.of(recipe_of(run), store, run, chosen=tuple(neurons))
    _, stages = line.bring(Runner(console=Console(file=io.StringIO())))
    return gathered(line, stages)


def gathered(line: AtlasLine, stages: AtlasStages) -> Gathered:
    """The cards of the neurons that a line has chosen, from its finished stages; raises StoreError."""
    run, sources, against = line.run, stages.sources, line.against
    shared = Shared.of(run, sources, stages.about, against)
    reader = BlockReader(run, sources)
    other = BlockReader(against.run, against.sources) if against else None
    cards: dict[Neuron, NeuronCard] = {}
    for block in line.blocks:
        (own,) = reader.rows(block)
        beside = next(iter(other.rows(block)), None) if other else None
        cards[block.layer, block.first] = shared.card(own, beside)
    rows = run.read(sources.thumbnails, "thumbnails", columns=["key", "tile"])
    pairs = zip(rows["key"].to_pylist(), rows["tile"].to_pylist(), strict=True)
    tiles = {addresses.tile(key): data for key, data in pairs if data is not None}
    return [cards[neuron] for neuron in line.chosen], shared.site, tiles
