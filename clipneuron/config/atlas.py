"""What the pages of an atlas show."""

from pydantic import Field, field_validator

from clipneuron.config.base import Config


class Atlas(Config):
    """What the pages of an atlas show of each neuron, word and picture."""

    top: int = Field(default=12, ge=1, le=100, description="top pictures of each neuron")
    quantiles: tuple[float, ...] = Field(
        default=(0.9, 0.75, 0.5, 0.25),
        description="shares of the pictures with a smaller |phi - b|, at which a picture is shown beside the top ones",
    )
    near: int = Field(default=8, ge=1, description="nearest neurons of each neuron, in all layers")
    active: int = Field(
        default=6, ge=1, description="neurons of each layer that are kept of a picture they act on"
    )
    tile: int = Field(default=96, ge=4, le=512, description="pixels of the side of small pictures")
    large: int = Field(
        default=224,
        ge=4,
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
    class_maps: int = Field(
        default=100,
        ge=0,
        description="pictures whose pages show where the class is that the model takes them for, by each method of "
        "`segmentation.methods`: those that most neurons show, and as many adversarial ones; 0 for none. Takes some "
        "passes of the model over each",
    )
    gallery: int = Field(
        default=24, ge=1, description="adversarial pictures of each pair of classes that are shown"
    )

    @field_validator("quantiles")
    @classmethod
    def _shares(cls, quantiles: tuple[float, ...]) -> tuple[float, ...]:
        if wrong := [share for share in quantiles if not 0 <= share < 1]:
            raise ValueError(
                f"{wrong[0]} is no share of pictures: expected 0 to below 1, such as 0.9"
            )
        return tuple(sorted(quantiles, reverse=True))
