"""A CLIP model behind the few calls that the other packages need."""

import os
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import cached_property, partial
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

import torch
from einops import reduce
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from clipneuron.lens.trace import TowerWeights, Trace
from clipneuron.models.clip.capture import CompiledCapture, capture
from clipneuron.models.clip.checkpoints import (
    LoadedNetwork,
    Tokenizer,
    from_transformers,
    open_network,
)
from clipneuron.models.clip.hugging_face.network import is_transformers
from clipneuron.models.clip.identity import Fact, describe, digest
from clipneuron.models.clip.networks import check_texts, image_tower, prepare, unwrapped
from clipneuron.models.clip.preprocessing.preprocess import Preprocess
from clipneuron.models.clip.soundness import check_finite
from clipneuron.models.clip.timm_towers import as_open_clip, is_timm
from clipneuron.models.clip.tokens import (
    IMAGENET_CLASSES,
    IMAGENET_TEMPLATES,
    Reading,
    default_tokenizer,
    fill_templates,
    reading,
    tokenize,
)
from clipneuron.models.clip.towers import tower_weights

__all__ = ["IMAGENET_CLASSES", "IMAGENET_TEMPLATES", "Clip", "load_clip"]


def load_clip(
    model: Any,
    pretrained: str | os.PathLike[str] | None = None,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    force_quick_gelu: bool | None = None,
    tokenizer: Tokenizer | None = None,
    cache_dir: str | None = None,
) -> "Clip":
    """A CLIP model in eval mode, ready to be traced.

    `model` is one of
      * an open_clip architecture, with a tag or a checkpoint file as `pretrained`:
        load_clip("ViT-B-32", "openai"), load_clip("ViT-L-14", "/path/to/weights.safetensors");
      * a folder with open_clip_config.json, its weights and optionally bpe_vocab.txt.gz, or "hf-hub:...";
      * a folder that `save_pretrained` of Hugging Face's CLIPModel wrote, or "hf-hub:..." of such a one;
      * "demo", the small model shipped with this package;
      * a model in memory: open_clip's CLIP or CustomTextCLIP, or anything whose `.visual` is an open_clip
        VisionTransformer, or a plain one of timm's with a class token. It is used as it is, not copied, and put in
        eval mode. A CLIPModel of Hugging Face's transformers is copied into an open_clip network.

    Named models are loaded as float32, on the GPU if there is one; models in memory keep their device and
    type, unless `device` and `dtype` change them. `force_quick_gelu` overrides the activation of both towers;
    by default it is the one that the weights were trained with, as far as the tag, an original OpenAI file or
    the architecture's name reveals it. Raises ValueError for models that do not exist, that the method does not
    cover, or whose weights are not all finite; ConnectionError where a download fails.
    """
    if isinstance(model, str | os.PathLike):
        loaded = open_network(model, pretrained, force_quick_gelu, cache_dir)
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        dtype = dtype or torch.float32
    elif pretrained is not None or force_quick_gelu is not None:
        raise ValueError("a model in memory has its weights and its activation: pass it alone")
    elif is_transformers(unwrapped(model)):
        loaded = from_transformers(unwrapped(model))
    else:
        own = unwrapped(model)
        check_texts(own)
        loaded = LoadedNetwork(type(own).__name__, own, partial(default_tokenizer, own))
    prepare(loaded.network, device, dtype)
    clip = Clip(loaded.network, loaded.name, (lambda: tokenizer) if tokenizer else loaded.tokenizer)
    check_finite(clip.network, clip.visual, clip.name)
    return clip


class Clip:
    """One CLIP model: traces of its image tower, embeddings of images and texts, its identity.

    Made by `load_clip`. The model must not be changed or moved afterwards: `weights` and `digest` are
    taken once. Embeddings are raw, as the model outputs them, unless noted otherwise.
    """

    travels_once = True
    """A cluster sends it once per run, and a process has it once."""

    def __init__(
        self,
        network: Any,
        name: str,
        make_tokenizer: Callable[[], Tokenizer],
        *,
        compiles: bool = False,
    ):
        self.network = network
        self.name = name
        self.compiles = compiles
        tower = image_tower(network)
        self.visual = as_open_clip(tower) if is_timm(tower) else tower
        self.weights: TowerWeights = tower_weights(self.visual)
        self.preprocess = Preprocess.of_tower(self.visual)
        self._make_tokenizer = make_tokenizer

    def __repr__(self) -> str:
        return f"Clip({self.name!r}, {self.layers} layers of {self.neurons} neurons)"

    @property
    def layers(self) -> int:
        """Residual blocks of the image tower."""
        return self.weights.layers

    @property
    def neurons(self) -> int:
        """Neurons per layer of the image tower."""
        return self.weights.neurons

    @property
    def embed(self) -> int:
        """The width of the joint space."""
        return self.weights.embed

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the pixels that the image tower reads."""
        height, width = self.visual.image_size
        return height, width

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.weights.projection.device

    def on(self, device: torch.device) -> "Clip":
        """A copy of this model on another device, shared while in use; the model itself if it is there already."""
        if self.device.type == device.type and device.index in (None, self.device.index):
            return self
        copies = _COPIES.setdefault(self, WeakValueDictionary())
        copy = copies.get(str(device))
        if copy is None:
            network = deepcopy(self.network)
            prepare(network, device, None)
            copy = copies[str(device)] = self._with(network)
        return copy

    def compiled(self) -> "Clip":
        """The same model, whose traces come from torch's compiler (`CompiledCapture`): equal up to rounding.

        Each process compiles when it first traces a choice of layers, for seconds to minutes. Takes a C++ compiler.
        """
        return Clip(self.network, self.name, self._make_tokenizer, compiles=True)

    def _with(self, network: Any) -> "Clip":
        """Another network in the place of this one."""
        return Clip(network, self.name, self._make_tokenizer, compiles=self.compiles)

    def widened(self) -> "Clip":
        """This model's image tower in float32; the model itself where it computes in float32 or better.

        For differences between two forward passes, which half precision rounds away.
        """
        if torch.promote_types(self.dtype, torch.float32) == self.dtype:
            return self
        visual = deepcopy(self.visual)
        prepare(visual, None, torch.float32)
        return Clip(visual, self.name, self._make_tokenizer)

    def with_gelu_texts(self) -> "Clip":
        """A copy of this model with exact GELU in its text tower, whatever it was trained with.

        The authors' code encodes pools and classifiers this way, since it omits the flag for OpenAI's QuickGELU.
        Raises ValueError for a model whose text tower is not open_clip's.
        """
        network = deepcopy(self.network)
        tower = getattr(network, "text", network)
        blocks = getattr(getattr(tower, "transformer", None), "resblocks", None)
        # An image tower on its own has such blocks too, which must not be changed.
        if blocks is None or not hasattr(network, "encode_text"):
            raise ValueError(
                f"{self.name} has no text tower of open_clip's kind, whose activation could be changed"
            )
        for block in blocks:
            block.mlp.gelu = torch.nn.GELU()
        return self._with(network)

    @property
    def dtype(self) -> torch.dtype:
        """The type the model computes in."""
        return self.weights.projection.dtype

    @property
    def logit_scale(self) -> float:
        """The factor of cosines before a softmax over texts."""
        scale = getattr(self.network, "logit_scale", None)
        if scale is None:
            raise ValueError(f"{self.name} has no logit_scale: it was given without a text tower")
        return float(scale.detach().exp())

    @cached_property
    def architecture(self) -> dict[str, dict[str, Fact]]:
        """Both towers' shapes, activations and options, in a form for JSON."""
        return describe(self.visual, self.network)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the architecture and all weights: equal for models that compute the same."""
        whole = isinstance(self.network, torch.nn.Module)
        return digest(self.architecture, (self.network if whole else self.visual).state_dict())

    def trace(
        self,
        pixels: Tensor,
        layers: Sequence[int] | None = None,
        first_order: bool = False,
        writes: bool = False,
    ) -> Trace:
        """The trace of one forward pass over normalised pixels [image, 3, height, width].

        It contains what `layers` need (by default all but the last). `writes` and `first_order` add to it, as
        described in `capture`.
        """
        chosen = tuple(range(self.layers - 1) if layers is None else layers)
        if self.compiles:
            return self._compiled_capture(chosen, first_order, writes)(self._readable(pixels))
        return capture(self.visual, self._readable(pixels), chosen, first_order, writes)

    def _compiled_capture(
        self, layers: tuple[int, ...], first_order: bool, writes: bool
    ) -> CompiledCapture:
        made = _CAPTURES.setdefault(self, {})
        asked = layers, first_order, writes
        if asked not in made:
            made[asked] = CompiledCapture(self.visual, *asked)
        return made[asked]

    @torch.no_grad()
    def encode_images(self, pixels: Tensor) -> Float[Tensor, "image embed"]:
        """M_image of normalised pixels [image, 3, height, width]."""
        readable = self._readable(pixels)
        if not len(readable):  # open_clip's towers fail on an empty batch
            return readable.new_empty(0, self.embed)
        output = self.visual(readable)
        embeddings: Tensor = output[0] if isinstance(output, tuple) else output
        return embeddings

    @torch.no_grad()
    def encode_texts(
        self, texts: Sequence[str], batch_size: int = 256
    ) -> Float[Tensor, "text embed"]:
        """M_text of each text."""
        if isinstance(texts, str):
            raise ValueError("expected a list of texts, got one string: wrap it in a list")
        if not hasattr(self.network, "encode_text"):
            raise ValueError(f"{self.name} has no text tower (encode_text): it only reads images")
        starts = range(0, len(texts), batch_size)
        parts = [self._encode_batch(texts[start : start + batch_size]) for start in starts]
        return torch.cat([self.weights.projection.new_empty(0, self.embed), *parts])

    def reading(self, texts: Sequence[str]) -> Reading:
        """What the text tower does not read of distinct texts; nothing is cut off by a model that has none."""
        if not hasattr(self.network, "encode_text"):
            return Reading(0, {}, {})
        return reading(self._tokenizer, texts, self.network)

    def classifier(
        self, class_names: Sequence[str], templates: Sequence[str] | None = None
    ) -> Float[Tensor, "class embed"]:
        """One unit row per class: the normalised mean of its normalised texts (CLIP, section 3.1.4).

        Templates contain {} in place of the class name; the default is OpenAI's 80 for ImageNet. Rows are in float32
        or better, for models in half precision too: a mean of 80 texts is finer than what its texts are rounded to.
        """
        chosen = IMAGENET_TEMPLATES if templates is None else templates
        embeddings = self.encode_texts(fill_templates(class_names, chosen))
        embeddings = embeddings.to(torch.promote_types(embeddings.dtype, torch.float32))
        units = functional.normalize(embeddings, dim=-1)
        means = reduce(units, "(c t) d -> c d", "mean", t=len(chosen))
        return functional.normalize(means, dim=-1)

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return self._make_tokenizer()

    def _encode_batch(self, texts: Sequence[str]) -> Float[Tensor, "text embed"]:
        tokens = tokenize(self._tokenizer, texts, self.network).to(self.device)
        embeddings: Tensor = self.network.encode_text(tokens)
        return embeddings

    def _readable(self, pixels: Tensor) -> Float[Tensor, "image 3 height width"]:
        """The pixels in the model's type and on its device; ValueError where it could not read them."""
        if not pixels.is_floating_point():
            raise ValueError(
                f"expected normalised pixels, got {pixels.dtype}: call preprocess.normalize first"
            )
        expected = (3, *self.image_size)
        if pixels.ndim != 4 or tuple(pixels.shape[1:]) != expected:
            raise ValueError(
                f"expected pixels of shape [image, {', '.join(map(str, expected))}], got "
                f"{list(pixels.shape)}: preprocess.decode makes them, numpy.stack joins them"
            )
        return pixels.to(self.device, self.dtype)


_COPIES: WeakKeyDictionary[Clip, WeakValueDictionary[str, Clip]] = WeakKeyDictionary()
"""Of each model those on other devices, so that the stages in one process share them."""

_CAPTURES: WeakKeyDictionary[Clip, dict[tuple[tuple[int, ...], bool, bool], CompiledCapture]] = (
    WeakKeyDictionary()
)
"""What has been compiled of each model: no part of it, since it cannot travel to another process."""
