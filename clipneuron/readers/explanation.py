"""Tables of the truth of words read back: words, what neurons write, and what a witness says of pictures."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clipneuron.engine.stage import Upstream
from clipneuron.lens.words.truth import Truth, Words
from clipneuron.readers.arrow import tensor
from clipneuron.readers.sweep import words_table
from clipneuron.store.store import Run
from clipneuron.tables.halves import LEAST, Half

Table = Literal["projections", "patch_activations"]
BLOCK = 256
"""Neurons at a time."""


def layer_words(layer: int, found: Words, texts: Sequence[str]) -> pa.Table:
    """The table `neuron_words` for all neurons of a layer; words of weight 0 are none."""
    neurons = torch.arange(len(found.weights))
    return words_table(layer, neurons, *found, found.weights != 0, texts)


def words_of(
    run: Run,
    stage: str,
    layer: int,
    neurons: int,
    table: Literal["neuron_words", "descriptions"] = "neuron_words",
) -> Words:
    """The words that a describer gives the neurons of a layer, or their long descriptions.

    Unused places have weight 0.
    """
    column = "place" if table == "neuron_words" else "atom"
    columns = ["neuron", column, "text_index", "weight"]
    rows = run.read(stage, table, columns=columns, filters=[("layer", "==", layer)])
    neuron, place = tensor(rows["neuron"]).long(), tensor(rows[column]).long()
    most = int(place.max()) + 1 if len(place) else 1
    indices, weights = torch.zeros(neurons, most, dtype=torch.long), torch.zeros(neurons, most)
    indices[neuron, place] = tensor(rows["text_index"]).long()
    weights[neuron, place] = tensor(rows["weight"])
    return Words(indices, weights)


def leading_words(
    run: Run, stage: str, layer: int, neurons: Sequence[int]
) -> tuple[str | None, ...]:
    """The first word of positive weight that a describer gives each of the neurons; None where there is none."""
    own = [("layer", "==", layer), ("neuron", "in", list(neurons)), ("weight", ">", 0)]
    rows = run.read(stage, "neuron_words", columns=["neuron", "place", "text"], filters=own)
    best_last = rows.sort_by([("place", "descending")])
    found = dict(zip(best_last["neuron"].to_pylist(), best_last["text"].to_pylist(), strict=True))
    return tuple(found.get(neuron) for neuron in neurons)


def sampled(neurons: int, count: int, seed: int, layer: int) -> tuple[int, ...]:
    """So many neurons of a layer, or all there are, drawn by dice of their own; rising."""
    dice = np.random.default_rng([seed, layer])
    return tuple(sorted(dice.choice(neurons, min(count, neurons), replace=False).tolist()))


def pictures_of(
    run: Run, projections: Upstream, witness: Sequence[Upstream], half: Half
) -> Int[np.ndarray, "image"]:
    """The numbers of the usable pictures of a half of which the witness says something, rising.

    Raises ValueError where there are too few to judge by.
    """
    rows = run.read(projections.name, "projections", columns=["index", "status", "half"])
    good = pc.and_(pc.equal(rows["status"], "ok"), pc.equal(rows["half"], half))
    index = rows.filter(good)["index"].to_numpy()
    pictures, *texts = witness
    if texts:
        seen = run.read(pictures.name, "witness_embeddings", columns=["index", "status"])
        known = seen.filter(pc.equal(seen["status"], "ok"))["index"].to_numpy()
        index = np.intersect1d(index, known)
    if len(index) < LEAST:
        raise ValueError(
            f"only {len(index)} held-out pictures of the half {half!r} can be used, and {LEAST} are needed: give more "
            "with `explanation.images` and `explanation.limit`"
        )
    return np.sort(index)


def values_of(
    run: Run, stage: str, table: Table, layer: int, images: Int[np.ndarray, "image"]
) -> Float[Tensor, "neuron image"]:
    """What the neurons of a layer write, or how active they are, on pictures by number."""
    column = f"layer_{layer}"
    rows = run.read(stage, table, columns=["index", column]).sort_by("index")
    places = np.searchsorted(rows["index"].to_numpy(), images)
    return tensor(rows[column].take(pa.array(places))).T.contiguous()


def embeddings_of(
    run: Run, stage: str, table: str, images: Int[np.ndarray, "image"]
) -> Float[Tensor, "image embed"]:
    """The unit embeddings of pictures by number, in a table that has them."""
    rows = run.read(stage, table, columns=["index", "embedding"]).sort_by("index")
    places = np.searchsorted(rows["index"].to_numpy(), images)
    return tensor(rows["embedding"].take(pa.array(places)))


def truth_of(
    run: Run,
    witness: Sequence[Upstream],
    share: float,
    images: Int[np.ndarray, "image"],
    texts: Int[Tensor, "text"],
) -> Truth:
    """What the witness says of texts, by number, and pictures, by number.

    The witness is a stage with statements, or one with embeddings of pictures and one with those of texts: then a text
    is true of the `share` of the pictures that it is most similar to.
    """
    pictures, *encoded = witness
    if not encoded:
        holds = _stated(run, pictures, images, texts)
        return Truth(holds.float(), holds)
    rows = run.read(encoded[0].name, "text_embeddings").sort_by("text_index")
    units = torch.nn.functional.normalize(tensor(rows["embedding"])[texts], dim=1)
    degrees = units @ embeddings_of(run, pictures.name, "witness_embeddings", images).T
    most = max(1, round(share * len(images)))
    least = degrees.topk(most, dim=1).values[:, -1:]
    return Truth(degrees - degrees.mean(1, keepdim=True), degrees >= least)


def _stated(
    run: Run, stage: Upstream, images: Int[np.ndarray, "image"], texts: Int[Tensor, "text"]
) -> Bool[Tensor, "text image"]:
    said = run.read(stage.name, "statements", columns=["index", "texts"]).sort_by("index")
    rows = said["texts"].take(pa.array(np.searchsorted(said["index"].to_numpy(), images)))
    array = rows.combine_chunks()
    image = np.repeat(np.arange(len(images)), array.value_lengths().to_numpy())
    text = array.flatten().to_numpy()
    wanted, inverse = torch.unique(texts, return_inverse=True)
    place = np.searchsorted(wanted.numpy(), text).clip(max=len(wanted) - 1)
    asked = wanted.numpy()[place] == text
    holds = torch.zeros(len(wanted), len(images), dtype=torch.bool)
    holds[torch.from_numpy(place[asked]), torch.from_numpy(image[asked])] = True
    return holds[inverse]
