"""Concepts of a batch of pictures by all methods, in one pass: the model with everything that is known before."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clipneuron.concepts.known import OF_NEURONS, Known, Search, lenses_of
from clipneuron.config.concepts import Method
from clipneuron.lens.ablations import representations
from clipneuron.lens.first_order import head_effects
from clipneuron.lens.pursuit import prepare
from clipneuron.lens.sparse.lasso import nonnegative_lasso
from clipneuron.lens.sparse.supports import STOPPED
from clipneuron.lens.trace import Trace
from clipneuron.lens.words.concepts import Given, concept_scores, given
from clipneuron.lens.words.textspan import Spans, span_scores
from clipneuron.lens.words.truth import Words
from clipneuron.readers.arrow import unchanging
from clipneuron.readers.lenses import Lenses, trace_of
from clipneuron.readers.pictures import Pixels

if TYPE_CHECKING:
    from clipneuron.models.clip.model import Clip


class Found(NamedTuple):
    """What each method says of a batch of pictures."""

    scores: Mapping[Method, Float[Tensor, "image text"]]
    given: Mapping[Method, Given]
    """Of the methods by which neurons name concepts; their neurons count over all layers of the search."""
    activated: Bool[Tensor, "image neuron"]
    trace: Trace


class Finder:
    """A model that names the concepts of pictures.

    Cost per picture beyond the forward pass: that of the norms and projections of the layers, a product with the pool,
    one more for each text of the sparse sum, and for textspan the first-order effects of all heads.
    """

    def __init__(self, clip: "Clip", lenses: Lenses, search: Search, known: Known) -> None:
        self.clip, self.search, self.known = clip, search, known
        self.lenses = lenses_of(lenses, search)
        like = clip.weights.projection.device
        with torch.inference_mode():
            self.layers = [
                known.neurons.projections(lens) for lens in self.lenses.on(clip).values()
            ]
            self.texts = unchanging(known.pool.matrix).to(like)
            self._centred = prepare(self.texts, "centered") if "splice" in search.methods else None
            words = Words(unchanging(known.indices).to(like), unchanging(known.weights).to(like))
            self.words = {
                "second-order": words,
                "second-order-signed": words,
                "other-neurons": _exchanged(words, search.seed),
            }
            self._spans = self._head_spans()

    @property
    def names(self) -> tuple[str, ...]:
        """The texts of the pool."""
        return self.known.pool.words

    @property
    def neurons(self) -> int:
        """Neurons of a layer."""
        return self.clip.neurons

    @torch.inference_mode()
    def of(self, pixels: Pixels) -> Found:
        """What each method says of uint8 pixels as the model reads them."""
        methods = self.search.methods
        first_order = "textspan" in methods
        trace = trace_of(self.clip, pixels, self.search.layers, first_order=first_order)
        written = [layer.of(trace) for layer in self.layers]
        norms, projections = (
            torch.cat([getattr(item, name) for item in written], dim=1).float()
            for name in ("norms", "projections")
        )
        thresholds = torch.cat([layer.thresholds for layer in self.layers])
        activated = norms > thresholds
        strengths = {"second-order-signed": projections}
        entries: dict[Method, Given] = {
            method: given(strengths.get(method, norms), activated, self.words[method])
            for method in methods
            if method in OF_NEURONS
        }
        scores: dict[Method, Tensor] = {
            method: concept_scores(item, len(pixels), len(self.names))
            for method, item in entries.items()
        }
        scores |= self._without_neurons(trace)
        return Found({method: scores[method] for method in methods}, entries, activated, trace)

    def _without_neurons(self, trace: Trace) -> dict[Method, Tensor]:
        found: dict[Method, Tensor] = {}
        embeddings = representations(trace).float()
        if "nearest" in self.search.methods:
            found["nearest"] = embeddings @ self.texts.T
        if self._centred is not None:
            found["splice"] = self._sparse(embeddings, self._centred)
        if self._spans is not None:
            spans, offsets, layers = self._spans
            split, normalize = self.lenses.split, self.lenses.normalize
            effects = head_effects(self.clip.weights, trace, split=split, normalize=normalize)
            last = effects[:, -layers:].flatten(1, 2).float()
            found["textspan"] = span_scores(last, spans, offsets, len(self.names))
        return found

    def _sparse(
        self, embeddings: Float[Tensor, "image embed"], texts: Float[Tensor, "text embed"]
    ) -> Float[Tensor, "image text"]:
        """The weights of SpLiCE: the embedding and the texts, each without its mean and of unit norm."""
        assert self.known.centre is not None
        centred = embeddings - unchanging(self.known.centre).to(embeddings)
        unit = torch.nn.functional.normalize(centred, dim=1)
        sums = nonnegative_lasso(unit, texts, self.search.penalty)
        scores = unit.new_zeros(len(unit), len(texts) + 1)  # the last for empty places
        places = sums.indices.where(sums.indices != STOPPED, len(texts))
        return scores.scatter_(1, places, sums.weights)[:, :-1]

    def _head_spans(self) -> tuple[Spans, Tensor, int] | None:
        heads = self.known.heads
        if heads is None or "textspan" not in self.search.methods:
            return None
        like = self.texts
        indices, directions, offsets = (unchanging(item).to(like.device) for item in heads[:3])
        return Spans(indices, directions, torch.zeros_like(offsets)), offsets, heads.layers


def _exchanged(words: Words, seed: int) -> Words:
    """Each neuron with the words of one that is drawn without regard to it, and so of another but for one or two."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(words.weights), generator=generator).to(words.indices.device)
    return Words(words.indices[order], words.weights[order])
