"""What the pages of an atlas show."""

from typing import Annotated

from pydantic import Field

from clipneuron.config.base import Config

Quantile = Annotated[float, Field(ge=0, lt=1)]


class Atlas(Config):
    """What the pages of an atlas show of each neuron, word and picture."""

    top: int = Field(default=12, ge=1, le=100, description="top pictures of each neuron")
    quantiles: tuple[Quantile, ...] = Field(
        default=(0.9, 0.75, 0.5, 0.25),
        description="shares of the pictures with a smaller |phi - b|, at which a picture is shown beside the top ones",
    )
    near: int = Field(default=8, ge=1, description="nearest neurons of each neuron, in all layers")
    active: int = Field(
        default=6, ge=1, description="neurons of each layer that are kept of a picture they act on"
    )
    tile: int = Field(default=96, ge=16, le=512, description="pixels of the side of small pictures")
    large: int = Field(
        default=224,
        ge=16,
        le=1024,
        description="pixels of the side of a picture's own page, at most",
    )
    quality: int = Field(
        default=60, ge=1, le=100, description="quality of the small pictures, which are WebP"
    )
    heats: bool = Field(
        default=True,
        description="show where in its pictures a neuron acts, which takes a pass of the model over them",
    )
    gallery: int = Field(
        default=24, ge=1, description="adversarial pictures of each pair of classes that are shown"
    )
