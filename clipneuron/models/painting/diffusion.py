"""Diffusion models of the diffusers library as a `Painter`: DeepFloyd IF, Stable Diffusion, FLUX and others."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float

from clipneuron.models.batches import Batches, out_of_memory
from clipneuron.models.painting.painter import Order, Painted
from clipneuron.models.painting.pipelines import (
    Cascade,
    DevicePlacement,
    Drawn,
    OnePipeline,
    PipelineSource,
)
from clipneuron.models.places import check_installed, look_for

DEEPFLOYD = (
    PipelineSource(model="DeepFloyd/IF-I-XL-v1.0", variant="fp16"),
    PipelineSource(
        model="DeepFloyd/IF-II-L-v1.0", variant="fp16", settings={"guidance_scale": 4.0}
    ),
)
"""The paper's text-to-image model (section 5.1): 64 pixels, then 256; licences on the Hugging Face hub."""

FLUX = PipelineSource(
    model="black-forest-labs/FLUX.1-schnell",
    settings={"height": 256, "width": 256, "num_inference_steps": 4, "guidance_scale": 4.0},
)
"""The default of the authors' program."""


class DiffusersPainter:
    """Pictures from a text-to-image pipeline in this process, in batches.

    With a `second` source both are stages of a cascade as DeepFloyd IF's, DiffusersPainter(*DEEPFLOYD);
    without, `source` is any text-to-image pipeline. They are loaded at the first order: to the GPU in half precision
    (bfloat16; float16 for that variant's files) if there is one, otherwise to the processor in float32; `device` and
    `dtype` say otherwise. With `offload` each network is on the GPU only while it is used, which takes less
    memory and more time. `field` is the option that names the pipeline, for messages. Pictures do not depend on their
    batch, up to the rounding of batched products.
    """

    def __init__(
        self,
        source: PipelineSource,
        second: PipelineSource | None = None,
        *,
        batch_size: int = 10,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        offload: bool = False,
        field: str = "attack.painter",
    ):
        place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        half = torch.float16 if source.variant == "fp16" else torch.bfloat16
        kind = dtype or (half if place.type == "cuda" else torch.float32)
        self._sources, self._placement = (source, second), DevicePlacement(place, kind, offload)
        self._batches, self._field = Batches(batch_size), field

    @cached_property
    def name(self) -> str:
        """The pipelines, their settings and the type they compute in."""
        parts = [source.name for source in self._sources if source]
        return "+".join(parts) + f"-{str(self._placement.dtype).removeprefix('torch.')}"

    def look(self) -> None:
        """Raises UnavailableError where a pipeline is neither here nor on the hub; loads nothing."""
        what = "text-to-image pipeline"
        check_installed(("diffusers", "transformers", "accelerate"), what)
        for source in filter(None, self._sources):
            look_for(source.model, source.revision, what=what, field=self._field)

    def paint(self, orders: Sequence[Order]) -> list[Painted]:
        """What became of each order.

        There is a reason instead of a picture for a blank caption, for what the safety checker held back, for
        numbers that are none, and where memory is not enough for one picture. Raises UnavailableError where the
        pipelines can't be loaded, ValueError for settings that they do not have.
        """
        worded = [order for order in orders if order.caption.strip()]
        found = iter(self._batches.run(worded, self._batch))
        return [
            next(found) if order.caption.strip() else Painted(reason="the caption is blank")
            for order in orders
        ]

    def _batch(self, orders: Sequence[Order]) -> list[Painted]:
        try:
            drawn = self.pipelines.draw(
                [order.caption for order in orders], [order.seed for order in orders]
            )
        except RuntimeError as error:
            if len(orders) > 1 or not out_of_memory(error):
                raise
            return [Painted(reason="out of memory with this picture alone")]
        return [_painted(drawn, at) for at in range(len(orders))]

    @cached_property
    def pipelines(self) -> OnePipeline | Cascade:
        """What paints, loaded."""
        first, second = self._sources
        if second is None:
            return OnePipeline(first, self._placement)
        return Cascade(first, second, self._placement)


def _painted(drawn: Drawn, at: int) -> Painted:
    unsafe = bool(drawn.unsafe[at]) if drawn.unsafe is not None else None
    marked = bool(drawn.watermarked[at]) if drawn.watermarked is not None else None
    reason = _reason(drawn.images[at], unsafe, marked)
    if reason:
        return Painted(None, reason, unsafe, marked)
    pixels = (drawn.images[at].clip(0, 1) * 255).round().astype(np.uint8)
    return Painted(pixels, "", unsafe, marked)


def _reason(
    image: Float[np.ndarray, "height width 3"], unsafe: bool | None, marked: bool | None
) -> str:
    """Why the picture can't be used; what a checker flags, it has blackened."""
    if unsafe:
        return "held back by the safety checker as unsafe"
    if marked:
        return "held back by the safety checker for a watermark"
    if not np.isfinite(image).all():
        return "the picture holds values that are not numbers (try another dtype)"
    return ""
