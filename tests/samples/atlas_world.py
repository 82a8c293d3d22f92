"""Finished runs of the tiny model with everything that an atlas shows: words, scores, classes, and a small attack."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from clipneuron.atlas.pipeline import AtlasLine
from clipneuron.attack.results import AttackResults
from clipneuron.concepts.results import ConceptResults
from clipneuron.engine.stage import name_of
from clipneuron.explanation.results import ExplanationResults
from clipneuron.store.store import Failure, Run, Store
from clipneuron.sweep.results import SweepResults
from clipneuron.tables import registry as tables
from clipneuron.tables.experiments import Experiment, pair_key
from tests.samples.attack_tables import Shard, judged, painted
from tests.samples.world import clip, quiet_runner, sweep_of

PAIR = ("cat", "dog")
MARGINS = (0.2, -0.1, 0.1, None)
"""Of adversarial pictures: two fool the model, one does not, one could not be painted."""
CLASSES = ("cat", "dog", "tree")
SCORES = [
    field.name
    for field in tables.schema("scores")
    if field.name not in ("layer", "neuron", "describer", "by")
]
HOSTILE = "<script>alert('words')</script>"


def swept(folder: Path, store: str = "store", **options: object) -> tuple[Run, Any]:
    """A run that has nothing but its sweep, and the recipe it was made by."""
    sweep = sweep_of(folder, store, **options)
    run, _ = sweep.run(quiet_runner())
    return run, sweep.recipe


def explained(folder: Path, store: str = "store") -> tuple[Run, Any]:
    """A run with scores, classes, concepts, an indirect effect and an attack as well; none of these is computed."""
    run, recipe = swept(folder, store)
    results = run.results(SweepResults)[0]
    scored(run, results)
    classed(run)
    named(run, results)
    measured(run)
    attacked(run, results)
    return run, recipe


def scored(run: Run, results: SweepResults) -> None:
    """Commit scores of all words, 0.5 for a neuron's own and 0.125 for another one's."""
    for layer in results.layers:
        rows = [
            {"layer": layer, "neuron": neuron, "describer": describer, "by": "nobody"}
            | dict.fromkeys(SCORES, value)
            for describer, value in (("pursuit", 0.5), ("other-neuron", 0.125), ("nearest", 0.25))
            for neuron in range(clip().neurons)
        ]
        run.commit("scores", f"layer-{layer:02d}", {"scores": _table("scores", rows)})
    words = dict.fromkeys(("pursuit", "other-neuron", "nearest"), results.descriptions)
    found = ExplanationResults(
        name="scores",
        layers=results.layers,
        directions=results.directions,
        describers=words,
        scores="scores",
    )
    run.announce(found)


def classed(run: Run) -> None:
    """Commit a classifier of three classes, and one of fewer, which no page is to show."""
    axes = np.eye(3, clip().embed, dtype=np.float32).tolist()
    for stage, names in (("classifier", CLASSES), ("classifier-ffffffff", CLASSES[:1])):
        classes = [
            {"label": label, "name": name, "embedding": axis}
            for label, (name, axis) in enumerate(zip(names, axes, strict=False))
        ]
        run.commit(stage, "000000", {"classifier": _table("classifier", classes)})


def named(run: Run, results: SweepResults) -> None:
    """Commit concepts of the swept pictures: a neuron's word in pictures 0, 1 and 999, which the run does not have.

    The control names it with higher scores.
    """
    word = run.read(results.descriptions, "neuron_words", columns=["text"])["text"][0].as_py()
    found = [("other-neurons", 2, 9.0), ("nearest", 0, 0.5), ("nearest", 1, 0.75)]
    found.append(("nearest", 999, 8.0))
    blank = {"status": "ok", "activated": 1, "layers": [], "neurons": [], "given": []}
    rows = [
        {"concept": word, "text_index": 0, "method": method, "score": score}
        | {"rank": 0, "index": index, "image": str(index)}
        for method, index, score in found
    ]
    looked = name_of("concept-pictures", "", {"images": run.identity["images"]}, [])
    run.commit(looked, "000000", {"plan": run.read("plan", "plan")})
    table = _table("picture_concepts", [{**blank, **row} for row in rows])
    run.commit("concepts", "000000", {"picture_concepts": table})
    run.commit("concept-index", "000000", {"concept_pictures": _table("concept_pictures", rows)})
    found = ConceptResults(
        name="concepts", pictures=looked, concepts="concepts", index="concept-index"
    )
    run.announce(found)


def measured(run: Run) -> None:
    """Commit the indirect effect of one neuron of the last layer: of other layers and neurons none is known."""
    vector = [0.5] + [0.0] * (clip().embed - 1)
    rows = [{"index": 0, "layer": 1, "neuron": 5, "indirect": vector, "second_order": vector}]
    run.commit("indirect", "000000", {"indirect": _table("indirect", rows)})


def atlas_of(run: Run, recipe: Any, folder: Path, store: str = "store", **more: Any) -> AtlasLine:
    """The atlas of a run of the tiny model."""
    asked = recipe.atlas.model_copy(update={"top": 3, "quantiles": (0.5,), "near": 2})
    recipe = recipe.model_copy(update={"atlas": asked})
    return AtlasLine.of(recipe, Store(folder / store), run, clip=clip(), **more)


def attacked(run: Run, results: SweepResults, words: Sequence[str] = ("milk", HOSTILE)) -> None:
    """Commit an attack of one pair by two words, the second of which is no neuron's."""
    shard = Shard("cat:dog", "second-order")
    one = Experiment(PAIR, "second-order", 0)
    key = pair_key(PAIR)
    cues = [
        {**one.columns, "rank": rank, "text": text, "score": 1.0 - rank, "similarity": 0.1}
        | {"status": "ok", "reason": None}
        for rank, text in enumerate(words)
    ]
    given = [
        {**one.columns, "text": text, "layer": layer, "neuron": 3, "weight": 0.5}
        | {"projection": 0.4, "contribution": 0.2 + layer}
        for text in words
        for layer in (0, 1)
    ]
    captions = [
        {**one.columns, "number": number, "caption": f"A cat with {words[0]}.", "words": [words[0]]}
        | {"chosen": True, "captioner": "none", "prompt": "0", "seed": 0}
        | {"status": "ok", "reason": None}
        for number in range(2)
    ]
    parts = {
        "attack-words": {"words": cues, "word_neurons": given},
        "attack-captions": {"captions": captions},
    }
    for stage, named in parts.items():
        run.commit(stage, key, {name: _table(name, rows) for name, rows in named.items()})
    lost = [Failure(shard.picture(3, 2), "failed", "not painted")]
    pictures, verdicts = painted(shard, MARGINS, 2), judged(shard, MARGINS, 2)
    run.commit("attack-pictures", one.key, {"pictures": pictures}, failures=lost)
    run.commit("attack-verdicts", one.key, {"verdicts": verdicts}, failures=lost)
    run.announce(
        AttackResults(
            name="attack-verdicts",
            model="tiny",
            comparable=False,
            pairs=(PAIR,),
            methods=("second-order",),
            repeats=1,
            swept=results,
            words="attack-words",
            captions="attack-captions",
            pictures="attack-pictures",
            verdicts="attack-verdicts",
        )
    )


def _table(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=tables.schema(name))
