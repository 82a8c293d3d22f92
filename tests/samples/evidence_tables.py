"""Tables of the evidence as small as a test wants them, and a whole run of them that looks plausible."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from clipneuron.evidence.accuracies import Accuracies, Outcomes
from clipneuron.evidence.claims.grounds import Setting
from clipneuron.evidence.distributions import Distributions
from clipneuron.evidence.results import EvidenceResults
from clipneuron.store.store import Run, Store
from clipneuron.sweep.neurons import NeuronCard
from clipneuron.tables import registry as tables
from clipneuron.tables.ablations import Ablation

KEYS = EvidenceResults(
    name="ablations",
    predictions=("ablations", "first-order", "indirect"),
    ablations="ablations",
    first_order="first-order",
    indirect_directions="indirect-directions",
    directions="directions",
    descriptions={"words-10k": "descriptions-words", "class-descriptions": "descriptions-class"},
)
DEPTH, NEURONS, HEADS, CLASSES, DETAIL = 12, 40, 4, 10, 9

Key = tuple[str, int, int]
NONE: Key = ("none", -1, -1)


def setting(**changes: object) -> Setting:
    fields: dict[str, object] = {
        "recipe": "sample",
        "model": "a small CLIP",
        "images": "rendered scenes",
        "images_count": 5000,
        "evaluation": "rendered scenes of one class each",
        "evaluation_count": 400,
        "has_other_pictures": True,
        "classes": CLASSES,
        "depth": DEPTH,
        "layers": tuple(range(DEPTH - 1)),
        "detail_layers": (DETAIL,),
        "split": "equal",
        "normalize": True,
        "top": 100,
        "reconstruction": "paper",
        "sizes": (4, 8, 16, 32, 64, 128),
        "neurons_drawn": NEURONS,
        "indirect_images": 64,
        "indirect_top": 10,
        "is_paper_model": False,
        "caveat": "a small CLIP of rendered scenes; its figures are not figures of CLIP",
    }
    return Setting(**(fields | changes))  # type: ignore[arg-type]


def new_run(root: Path) -> Run:
    return Store(root).open_run("sample", {"model": "sample"}, {})


def predictions(
    right: Mapping[Key, Sequence[bool]],
    *,
    start: int = 0,
    failed: Mapping[int, str] | None = None,
    unlabelled: Sequence[int] = (),
) -> pa.Table:
    """Picture i has the label i % CLASSES, and another class where it is not right."""
    rows: dict[str, list[object]] = {name: [] for name in tables.schema("predictions").names}
    for (name, layer, head), outcomes in right.items():
        for place, fine in enumerate(outcomes):
            index = start + place
            label = index % CLASSES
            guess = label if fine else (label + 1) % CLASSES
            known = None if index in unlabelled else label
            values = (index, f"{index}.png", known, "ok", None, None, layer, head, name, guess)
            for column, value in zip(rows.values(), values, strict=True):
                column.append(value)
    for index, reason in (failed or {}).items():
        values = (index, f"{index}.png", 0, "undecodable", reason, None, -1, -1, "none", None)
        for column, value in zip(rows.values(), values, strict=True):
            column.append(value)
    return pa.table(rows, schema=tables.schema("predictions"))


def directions(layer: int, explained: Sequence[float], participation: Sequence[float]) -> pa.Table:
    count = len(explained)
    columns = {
        "layer": [layer] * count,
        "neuron": range(count),
        "direction": [[1.0, 0.0]] * count,
        "mean": [[0.0, 0.0]] * count,
        "explained_variance": explained,
        "note": [None] * count,
        "threshold": [1.0] * count,
        "quantile_98": [1.0] * count,
        "share": [0.02] * count,
        "participation": participation,
        "count": [5000] * count,
        "top_images": [[2, 1, 0]] * count,
        "top_norms": [[3.0, 2.0, 1.0]] * count,
        "top_projections": [[3.0, -2.0, 1.0]] * count,
    }
    return pa.table(columns, schema=tables.schema("directions"))


def significance(
    layer: int, count: int, above: Sequence[int], energy: Sequence[float] = ()
) -> pa.Table:
    """`energy` is that of the pictures above, a share of 10; by default as many tenths as pictures."""
    columns = {
        "layer": [layer] * len(above),
        "neuron": range(len(above)),
        "count": [count] * len(above),
        "above": above,
        "energy": [10.0] * len(above),
        "energy_above": list(energy) or [min(10.0, float(number)) for number in above],
    }
    return pa.table(columns, schema=tables.schema("significance"))


def indirect_directions(
    layer: int, indirect: Sequence[float], second_order: Sequence[float]
) -> pa.Table:
    count = len(indirect)
    columns = {
        "layer": [layer] * count,
        "neuron": range(count),
        "count": [64] * count,
        "direction": [[1.0, 0.0]] * count,
        "mean": [[0.0, 0.0]] * count,
        "explained_variance": indirect,
        "explained_variance_all": np.asarray(indirect) * 0.8,
        "second_order_variance": second_order,
        "second_order_variance_all": np.asarray(second_order) * 0.7,
    }
    return pa.table(columns, schema=tables.schema("indirect_directions"))


def first_order(sizes: np.ndarray, count: int) -> pa.Table:
    """Sizes are root mean squares [layer, head]."""
    layers, heads = np.indices(sizes.shape)
    columns = {
        "layer": layers.ravel(),
        "head": heads.ravel(),
        "count": np.full(sizes.size, count),
        "square_sum": sizes.ravel() ** 2 * count,
    }
    return pa.table(columns, schema=tables.schema("first_order"))


def neuron_words(layer: int, texts: Sequence[tuple[str, float]], neurons: int) -> pa.Table:
    rows = [(neuron, *item) for neuron in range(neurons) for item in enumerate(texts)]
    columns = {
        "layer": [layer] * len(rows),
        "neuron": [neuron for neuron, _, _ in rows],
        "place": [place for _, place, _ in rows],
        "text": [text for _, _, (text, _) in rows],
        "text_index": [place for _, place, _ in rows],
        "weight": [weight for _, _, (_, weight) in rows],
    }
    return pa.table(columns, schema=tables.schema("neuron_words"))


def card(neuron: int, layer: int = DETAIL) -> NeuronCard:
    words = (("snow", 0.5), ("a | pipe", -0.4))
    images, norms = (2, 1, 0), (3.0, 2.0, 1.0)
    return NeuronCard(layer, neuron, 0.05, 0.45, 0.02, 1.0, images, norms, (3.0, -2.0, 1.0), words)


def second_order_shares() -> dict[Key, float]:
    """Accuracies as in the paper's Figure 3 and 4."""
    drops = dict.fromkeys(range(DEPTH - 1), 0.01) | {6: 0.03, 7: 0.06, 8: 0.18, 9: 0.32, 10: 0.2}
    shares: dict[Key, float] = {NONE: 0.62}
    for layer, drop in drops.items():
        parts = {"all": drop, "large": 0.75 * drop, "small": 0.05 * drop, "pc": 0.04 * drop}
        shares |= {(name, layer, -1): 0.62 - part for name, part in parts.items()}
    for place, size in enumerate((4, 8, 16, 32, 64, 128)):
        shares["texts:words-10k:" + str(size), DETAIL, -1] = 0.42 + 0.034 * place
        shares["texts:class-descriptions:" + str(size), DETAIL, -1] = 0.48 + 0.023 * place
    return shares


def first_order_shares() -> dict[Key, float]:
    fall = [0.62] * 7 + [0.61, 0.58, 0.5, 0.3, 0.1]
    shares: dict[Key, float] = {NONE: 0.62}
    for layer, (before, after) in enumerate(zip([0.62, *fall], fall, strict=False)):
        shares["attention", layer, -1] = after
        for head in range(HEADS):
            shares["heads", layer, head] = before + (after - before) * (head + 1) / HEADS
    return shares


def nested(shares: Mapping[Key, float], pictures: int) -> dict[Key, list[bool]]:
    """Outcomes of these accuracies: a picture that survives a costly ablation survives a cheaper one, mostly."""
    generator = np.random.default_rng(1)
    hardness = generator.random(pictures)
    noise = {key: generator.normal(0, 0.02, pictures) * (key != NONE) for key in shares}
    return {key: list(hardness + noise[key] < share) for key, share in shares.items()}


def complete_run(root: Path, pictures: int = 400) -> Run:
    """A run with every table that the report reads, in two shards where tables have them."""
    run = new_run(root)
    held = {NONE: 0.62, ("indirect", DETAIL, -1): 0.52}
    second, first = second_order_shares(), first_order_shares()
    generator = np.random.default_rng(0)
    half = pictures // 2
    sizes = np.linspace(0.02, 0.3, DEPTH)[:, None] ** 2 * generator.uniform(1, 4, (DEPTH, HEADS))
    for shard, start in (("0", 0), ("1", half)):
        failed = {pictures + start: "truncated file"}
        counted = [
            significance(layer, half, generator.poisson(0.015 * half, NEURONS))
            for layer in range(DEPTH - 1)
        ]
        own = {
            "predictions": predictions(
                nested(second, half), start=start, failed=failed, unlabelled=(start,)
            ),
            "significance": pa.concat_tables(counted),
        }
        run.commit("ablations", shard, own)
        ranked = {"predictions": predictions(nested(first, half), start=start, unlabelled=(start,))}
        run.commit("first-order", shard, {**ranked, "first_order": first_order(sizes, half)})
        run.commit(
            "indirect",
            shard,
            {"predictions": predictions(nested(held, half), start=start, unlabelled=(start,))},
        )
    known = [
        directions(
            layer, generator.beta(6, 7, NEURONS), generator.beta(2, 30, NEURONS) + 0.01 * layer
        )
        for layer in range(DEPTH - 1)
    ]
    run.commit("directions", "0", {"directions": pa.concat_tables(known)})
    compared = indirect_directions(
        DETAIL, generator.beta(3, 22, NEURONS), generator.beta(9, 10, NEURONS)
    )
    run.commit("indirect-directions", "0", {"indirect_directions": compared})
    words = neuron_words(DETAIL, [("frost", -0.7), ("a | pipe", 0.3), ("snow", 0.1)], NEURONS)
    run.commit("descriptions-words", "0", {"neuron_words": words})
    full = neuron_words(DETAIL, [("a picture of falling snow", 0.6)], NEURONS)
    run.commit("descriptions-class", "0", {"neuron_words": full})
    return run


def counted(right: Mapping[Key, int], pictures: int = 1000) -> Accuracies:
    """Ablations under which the first so many of the pictures are classified rightly: every gap is exact."""
    index = np.arange(pictures)
    outcomes = {Ablation(*key): Outcomes(index, index < count) for key, count in right.items()}
    baselines = dict.fromkeys(outcomes, outcomes[Ablation(*NONE)]) if NONE in right else {}
    return Accuracies(outcomes, baselines, {}, 0, 0)


def distributions(**figures: object) -> Distributions:
    empty: dict[str, object] = {
        "explained": {},
        "participation": {},
        "above": {},
        "energy": {},
        "indirect": {},
        "heads": np.empty((0, 0)),
    }
    return Distributions(**(empty | figures))  # type: ignore[arg-type]
