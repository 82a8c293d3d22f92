"""How alike texts are in meaning: what tells synonyms of a class from spurious cues."""

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from clipneuron.models.clip.model import Clip
from clipneuron.models.places import UnavailableError, check_installed, look_for
from clipneuron.models.snapshots import snapshot_name

DISTILROBERTA = "sentence-transformers/all-distilroberta-v1"
"""What the paper's authors tell synonyms with."""


@runtime_checkable
class Sentences(Protocol):
    """Whatever compares texts."""

    @property
    def name(self) -> str:
        """Tells apart those that could answer differently: it goes into fingerprints."""
        ...

    def similarities(
        self, texts: Sequence[str], others: Sequence[str]
    ) -> Float[Tensor, "text other"]:
        """The cosine of each text's embedding to that of each other text, on the CPU."""
        ...


class SentenceTransformers:
    """A model of the sentence-transformers library, loaded when it is first asked.

    `model` is a folder that it saved or a name on the Hugging Face hub, `revision` a commit there. Embeddings
    are kept, 3 KB for each text of all-distilroberta-v1: the pairs of a run look at much the same texts.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = DISTILROBERTA,
        *,
        revision: str = "",
        device: torch.device | str | None = None,
    ):
        self._model, self._revision = os.fspath(model), revision
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self._known: dict[str, Tensor] = {}

    @cached_property
    def name(self) -> str:
        """The model's snapshot."""
        return snapshot_name(self._model, self._revision)

    def similarities(
        self, texts: Sequence[str], others: Sequence[str]
    ) -> Float[Tensor, "text other"]:
        """The cosines; raises UnavailableError for a model that can't be loaded."""
        return _cosines(self._embed(texts), self._embed(others))

    def look(self) -> None:
        """Raises UnavailableError where there is no such model, here or on the hub; loads nothing."""
        what = "sentence model"
        check_installed(("sentence_transformers",), what)
        local = "/" in self._model or Path(self._model).exists()
        # The library's own models may be named without their owner.
        name = self._model if local else f"sentence-transformers/{self._model}"
        look_for(name, self._revision, what=what, field="attack.sentences")

    def _embed(self, texts: Sequence[str]) -> Float[Tensor, "text width"]:
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            # Each text by itself: its embedding does not depend on who came with it, nor on what is known already.
            found = self._network.encode(
                new,
                batch_size=1,
                show_progress_bar=False,
                convert_to_tensor=True,
                normalize_embeddings=True,
            )
            self._known.update(zip(new, found.float().cpu(), strict=True))
        if not texts:
            return torch.empty(0, self._network.get_embedding_dimension())
        return torch.stack([self._known[text] for text in texts])

    @cached_property
    def _network(self) -> Any:
        from sentence_transformers import SentenceTransformer

        try:
            return SentenceTransformer(
                self._model, revision=self._revision or None, device=str(self._device)
            )
        except (OSError, ValueError) as error:
            raise UnavailableError(
                f"can't load the sentence model {self._model!r}: expected a folder that sentence-transformers saved "
                f"or a name on the Hugging Face hub ({error})"
            ) from error


class ClipSentences:
    """The text tower of a CLIP model, where no sentence model is at hand.

    Fit for the demo world. The texts of large CLIP models have much in common, so their cosines are high also
    for texts that have nothing to do with each other: a threshold for synonyms must be found anew.
    """

    def __init__(self, clip: Clip):
        self._clip = clip

    @property
    def name(self) -> str:
        """The model's digest."""
        return f"clip-{self._clip.digest}"

    def similarities(
        self, texts: Sequence[str], others: Sequence[str]
    ) -> Float[Tensor, "text other"]:
        """The cosines."""
        return _cosines(self._embed(texts), self._embed(others))

    def _embed(self, texts: Sequence[str]) -> Float[Tensor, "text embed"]:
        return functional.normalize(self._clip.encode_texts(texts).float().cpu(), dim=1)


def _cosines(
    texts: Float[Tensor, "text width"], others: Float[Tensor, "other width"]
) -> Float[Tensor, "text other"]:
    """Products of unit rows, in double: a product's last bits depend on how many are taken at once."""
    return (texts.double() @ others.double().T).float()
