"""Two runs compared: every neuron that both have, the layers, the words, and what cannot be compared."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa

from clipneuron.operations.compare.accuracies import AccuracyChange, accuracy_changes
from clipneuron.operations.compare.arrays import floats
from clipneuron.operations.compare.concepts import ConceptChanges, concept_changes
from clipneuron.operations.compare.layers import LayerChanges, layer_changes, mean_norms
from clipneuron.operations.compare.match.spaces import Spaces, joint_spaces
from clipneuron.operations.compare.pictures import CommonPictures, common_pictures
from clipneuron.operations.compare.reasons import Reason, reasons
from clipneuron.operations.compare.scores import METRICS, scores_of, witness_of
from clipneuron.operations.compare.sides import Floats, Ints, Side, keys_of
from clipneuron.operations.compare.words import WordChanges

Advance = Callable[[int], None]
_MATCH = "`clipneuron compare --match`"
"""What helps where the same number is not the same neuron; an atlas compares too, and has no such option."""


@dataclass(frozen=True)
class Comparison:
    """What differs between two runs, A and B, from why to what."""

    a: Side
    b: Side
    reasons: list[Reason]
    neurons: pa.Table
    """A row per neuron that is compared, by layer and neuron."""
    words: WordChanges
    accuracies: list[AccuracyChange]
    concepts: list[ConceptChanges] = field(default_factory=list)
    """What pictures show, by every method that both runs have."""
    notes: list[str] = field(default_factory=list)
    """What is only in one run, and what could not be compared, a sentence each."""

    @classmethod
    def of(cls, a: Side, b: Side, advance: Advance = lambda layers: None) -> "Comparison":
        """Compare two runs layer by layer; `advance` is called with how many more layers are done.

        Raises ValueError where the runs cannot be compared, with what can be done, and StoreError.
        """
        layers = common_layers(a, b)
        spaces, pictures = _one_space(a, b), common_pictures(a, b)
        parts = []
        for layer in layers:
            parts.append(layer_changes(a, b, layer, pictures))
            advance(1)
        changes = LayerChanges(*map(np.concatenate, zip(*parts, strict=True)))
        known = [pa.concat_tables(map(side.neurons.of_layer, layers)) for side in (a, b)]
        keys = keys_of(known[0])
        words = WordChanges.of(a, b, keys, changes.flipped)
        columns = {
            "layer": known[0]["layer"],
            "neuron": known[0]["neuron"],
            **changes._asdict(),
            "words_kept": words.kept,
            "words_gained": words.gained,
            "words_lost": words.lost,
            **_sided("mean_norm", *(mean_norms(side, keys) for side in (a, b))),
            **_sided("threshold", *(table["threshold"] for table in known)),
            **_sided("explained_variance", *(table["explained_variance"] for table in known)),
            **_scores(a, b, keys),
            **_sided("note", *(table["note"] for table in known)),
        }
        notes = [*_only(a, b, layers), *_unlike(a, b, pictures, spaces)]
        accuracies, concepts = accuracy_changes(a, b), concept_changes(a, b)
        why = reasons(a.run, b.run)
        return cls(a, b, why, pa.table(columns), words, accuracies, concepts, notes)

    @property
    def layers(self) -> tuple[int, ...]:
        """Those that both runs have."""
        return common_layers(self.a, self.b)

    @cached_property
    def nearness(self) -> Floats:
        """The cosine of each neuron; 0 where only one run has a direction for it, 1 where none has."""
        cosine = floats(self.neurons["cosine"])
        has = [self.neurons[f"note_{side}"].is_null().to_numpy() for side in "ab"]
        return np.where(
            has[0] & has[1], np.nan_to_num(cosine), np.where(has[0] != has[1], 0.0, 1.0)
        )

    @cached_property
    def words_changed(self) -> Ints:
        """How many words each neuron gained and lost."""
        counts = [
            np.diff(self.neurons[f"words_{how}"].combine_chunks().offsets.to_numpy())
            for how in ("gained", "lost")
        ]
        found: Ints = (counts[0] + counts[1]).astype(np.int64)
        return found

    @cached_property
    def order(self) -> Ints:
        """The rows of the neurons, most changed first.

        By cosine to two decimals, below which directions differ by rounding; then by words gained and lost, then by top
        pictures that changed.
        """
        shared = np.nan_to_num(floats(self.neurons["top_shared"]), nan=1.0)
        return np.lexsort((shared, -self.words_changed, self.nearness.round(2)))

    @property
    def short(self) -> pa.Table:
        """Layer, number and cosine of every neuron, and the share of its words, of both runs, that both have.

        NaN for the words of a neuron that has none in either.
        """
        kept = self.neurons["words_kept"].to_numpy()
        total = kept + self.words_changed
        shared = np.where(total > 0, kept / np.maximum(total, 1), np.nan)
        columns = {name: self.neurons[name] for name in ("layer", "neuron")}
        return pa.table({**columns, "cosine": self.nearness, "words_shared": shared})

    @property
    def has_scores(self) -> bool:
        """Whether both runs were explained."""
        return f"{METRICS[0]}_a" in self.neurons.column_names


def common_layers(a: Side, b: Side) -> tuple[int, ...]:
    """The layers that both runs have; raises ValueError where there is none, or one has other neurons."""
    found = tuple(sorted({*a.layers} & {*b.layers}))
    advice = f"{_MATCH} compares neurons wherever they are"
    if not found:
        raise ValueError(
            f"{a.name} has the layers {_listed(a.layers)} and {b.name} the layers {_listed(b.layers)}, none in common: "
            f"compare runs of the same layers, or {advice}"
        )
    for layer in found:
        one, other = (side.neurons.of_layer(layer)["neuron"] for side in (a, b))
        if not one.equals(other):
            raise ValueError(
                f"layer {layer} has {len(one):,} neurons in {a.name} and {len(other):,} in {b.name}, so that the same "
                f"number is not the same neuron: {advice}"
            )
    return found


def _listed(layers: tuple[int, ...]) -> str:
    return ", ".join(map(str, layers))


def _one_space(a: Side, b: Side) -> Spaces:
    """What is known of the joint spaces of both; raises ValueError where they are two."""
    spaces = joint_spaces(a, b)
    if not spaces.agree:
        raise ValueError(
            f"the directions of {a.name} and {b.name} are in different joint spaces ({spaces.why}), so that a cosine "
            f"between them means nothing: {_MATCH} finds the neurons of B that act on the same pictures"
        )
    return spaces


def _sided(name: str, a: object, b: object) -> dict[str, object]:
    return {f"{name}_a": a, f"{name}_b": b}


def _scores(a: Side, b: Side, keys: Ints) -> dict[str, object]:
    """The scores of the neurons' words, where both runs were explained."""
    if a.explanation is None or b.explanation is None:
        return {}
    one, other = (scores_of(side, keys) for side in (a, b))
    found: dict[str, object] = {}
    for metric in METRICS:
        found |= _sided(metric, one[metric], other[metric])
    return found


def _only(a: Side, b: Side, layers: tuple[int, ...]) -> list[str]:
    """What is only in one run."""
    notes = []
    for side, name in ((a, "A"), (b, "B")):
        if alone := tuple(layer for layer in side.layers if layer not in layers):
            notes.append(f"only in {name}: layers {_listed(alone)}, which are not compared")
    for what, one, other in (
        ("scores of words (`clipneuron explain`)", a.explanation, b.explanation),
        ("ablation accuracies (`clipneuron reproduce`)", a.evidence, b.evidence),
        ("concepts of pictures (`clipneuron concepts`)", a.concepts, b.concepts),
    ):
        if (one is None) != (other is None):
            notes.append(f"only in {'B' if one is None else 'A'}: {what}, which are not compared")
    return notes


def _unlike(a: Side, b: Side, pictures: CommonPictures | None, spaces: Spaces) -> list[str]:
    """What was measured on other things, so that a difference may come from these."""
    notes = [f"the texts have moved a little: {spaces.why}"] if spaces.moved else []
    if pictures is None:
        notes.append(
            "the runs have no picture in common: top pictures are not compared, and norms are of other pictures"
        )
    elif any(pictures.only):
        alone = f"{pictures.only[0]:,} pictures are only in A, {pictures.only[1]:,} only in B"
        notes.append(f"{alone}; the others are told by their ids, not by their content")
    witnesses = [witness_of(side) for side in (a, b)]
    if all(witnesses) and witnesses[0] != witnesses[1]:
        notes.append(
            f"words were judged by other witnesses ({' and '.join(map(str, witnesses))}): scores differ by that too"
        )
    return notes
