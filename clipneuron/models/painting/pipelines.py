"""Pipelines of the diffusers library: how they are named, loaded and run for pictures with seeds."""

import inspect
import json
import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from clipneuron.models.places import UnavailableError
from clipneuron.models.snapshots import snapshot_name

_REMEMBERED = 256
"""Embedded captions that are kept; one of T5-XXL in half precision has 0.6 MB."""


@dataclass(frozen=True, kw_only=True)
class PipelineSource:
    """A text-to-image pipeline and how it is to be run."""

    model: str | os.PathLike[str]
    """A folder that save_pretrained made, or a name on the Hugging Face hub."""
    revision: str = ""
    """The commit on the hub; empty for the newest."""
    variant: str = ""
    """The kind of weight files, such as "fp16"; empty for the plain ones."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What the pipeline is called with: num_inference_steps, guidance_scale, height, width and the like."""

    @property
    def name(self) -> str:
        """The model's snapshot, variant and settings."""
        settings = json.dumps(dict(self.settings), sort_keys=True, separators=(",", ":"))
        return f"{snapshot_name(self.model, self.revision)}{self.variant and '.' + self.variant}{settings}"


@dataclass(frozen=True)
class DevicePlacement:
    """Where and how a pipeline computes."""

    device: torch.device
    dtype: torch.dtype
    offload: bool
    """Whether each network is on the device only while it is used."""


@dataclass(frozen=True)
class Drawn:
    """The pictures of one batch, as the networks left them."""

    images: Float[np.ndarray, "image height width 3"]
    """From 0 to 1, or not a number where the network failed."""
    unsafe: Sequence[bool] | None
    watermarked: Sequence[bool] | None


class OnePipeline:
    """Any pipeline that takes prompts and generators: Stable Diffusion, FLUX and others."""

    def __init__(self, source: PipelineSource, placement: DevicePlacement):
        self.pipeline = load(source, placement)
        self._settings = _settings(self.pipeline, source)

    def draw(self, captions: Sequence[str], seeds: Sequence[int]) -> Drawn:
        """One picture per caption and seed."""
        # Each picture has its own noise, drawn on the processor: the same on every device, in every batch.
        noise = [torch.Generator().manual_seed(seed) for seed in seeds]
        output = self.pipeline(list(captions), generator=noise, output_type="np", **self._settings)
        unsafe = getattr(output, "nsfw_content_detected", getattr(output, "nsfw_detected", None))
        return Drawn(output.images, unsafe, getattr(output, "watermark_detected", None))


class Cascade:
    """DeepFloyd IF: stage I paints small pictures, stage II enlarges them; both read the same T5 embeddings.

    Stage I's safety checker is left out, stage II's sees the pictures that are kept. Its visible
    watermark is not added: it would be in the corner of every picture that CLIP is shown.
    """

    def __init__(self, first: PipelineSource, second: PipelineSource, placement: DevicePlacement):
        self.first = load(first, placement, checked=False)
        self.second = load(second, placement, text_encoder=None, tokenizer=None)
        self._settings = _settings(self.first, first), _settings(self.second, second)
        self._embedded: OrderedDict[str, Tensor] = OrderedDict()

    def draw(self, captions: Sequence[str], seeds: Sequence[int]) -> Drawn:
        """One picture per caption and seed."""
        texts = {
            "prompt_embeds": self._embed(captions),
            "negative_prompt_embeds": self._embed([""] * len(captions)),
        }
        noise = [torch.Generator().manual_seed(seed) for seed in seeds]
        small = self.first(**texts, generator=noise, output_type="pt", **self._settings[0]).images
        large = self.second(
            image=small, **texts, generator=noise, output_type="np", **self._settings[1]
        )
        return Drawn(large.images, large.nsfw_detected, large.watermark_detected)

    def _embed(self, captions: Sequence[str]) -> Float[Tensor, "caption token width"]:
        """T5's output for each caption, computed once for each that is new."""
        new = [text for text in dict.fromkeys(captions) if text not in self._embedded]
        if new:
            # Each caption by itself: its embedding does not depend on who came with it.
            for text in new:
                self._embedded[text] = self.first.encode_prompt(
                    [text], do_classifier_free_guidance=False, clean_caption=True
                )[0]
        for text in captions:
            self._embedded.move_to_end(text)
        embeddings = torch.cat([self._embedded[text] for text in captions])
        while len(self._embedded) > _REMEMBERED:
            self._embedded.popitem(last=False)
        return embeddings


def load(
    source: PipelineSource, placement: DevicePlacement, checked: bool = True, **parts: Any
) -> Any:
    """The pipeline in its place, silent; `parts` replace what its files say. Raises UnavailableError.

    Of DeepFloyd IF the safety checker is left out where it is not wanted (`checked`), and the watermark always.
    """
    from diffusers import DiffusionPipeline

    model, chosen = os.fspath(source.model), _files(source)
    try:
        checker = DiffusionPipeline.load_config(model, **chosen).get("safety_checker")
        deepfloyd = bool(checker) and checker[1] == "IFSafetyChecker"
        parts |= _UNCHECKED if deepfloyd else {}
        pipeline = DiffusionPipeline.from_pretrained(
            model, dtype=placement.dtype, **chosen, **parts
        )
        if deepfloyd and checked:
            pipeline.register_modules(safety_checker=_checker(source, placement))
    except (OSError, ValueError) as error:
        raise UnavailableError(
            f"can't load the text-to-image pipeline {model!r}: expected a folder made by save_pretrained or a "
            f"name on the Hugging Face hub whose licence you have accepted ({error})"
        ) from error
    pipeline.set_progress_bar_config(disable=True)
    if placement.offload:
        pipeline.enable_model_cpu_offload(device=placement.device)
        return pipeline
    return pipeline.to(placement.device)


_UNCHECKED = {"safety_checker": None, "watermarker": None, "requires_safety_checker": False}


def _checker(source: PipelineSource, placement: DevicePlacement) -> Any:
    """DeepFloyd IF's safety checker.

    diffusers 0.42 can't load it under transformers 5, which wants every network to end its construction
    with post_init (diffusers' pull request 12794 added that to Stable Diffusion's checker only).
    """
    from diffusers.pipelines.deepfloyd_if import IFSafetyChecker

    class Checker(IFSafetyChecker):  # type: ignore[misc]
        def __init__(self, config: Any):
            super().__init__(config)
            self.post_init()

    checker = Checker.from_pretrained(
        os.fspath(source.model),
        subfolder="safety_checker",
        dtype=placement.dtype,
        **_files(source),
    )
    return checker.eval()


def _settings(pipeline: Any, source: PipelineSource) -> dict[str, Any]:
    """The settings, which the pipeline knows: some pipelines ignore what they do not know."""
    known = inspect.signature(pipeline.__call__).parameters
    if unknown := sorted(set(source.settings) - set(known)):
        raise ValueError(
            f"{type(pipeline).__name__} has no setting {', '.join(unknown)}: it has {', '.join(known)}"
        )
    return dict(source.settings)


def _files(source: PipelineSource) -> dict[str, str]:
    chosen = {"variant": source.variant}
    if not Path(source.model).is_dir():
        chosen["revision"] = source.revision
    return {name: value for name, value in chosen.items() if value}
