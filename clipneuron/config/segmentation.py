"""How attribution maps are judged as segmentations."""

from typing import Literal

from pydantic import Field, field_validator

from clipneuron.config.base import Config
from clipneuron.config.columns import ImageColumn, LabelColumn, Member, NameColumn
from clipneuron.config.suggestions import suggestion
from clipneuron.config.values.layers import Layers
from clipneuron.config.values.protocols import DEFAULT, Protocol
from clipneuron.lens.attribution.methods import METHODS

ALL = "all"
"""The word for all attribution methods."""


class Segmentation(Config):
    """How attribution maps are judged as segmentations (Sec. 5.3, Table 4): pictures, masks, methods, protocols."""

    images: str = Field(
        default="",
        description="pictures that have masks: any collection; 'demo' renders scenes of the demo world",
    )
    image_column: ImageColumn = ""
    label_column: LabelColumn = ""
    name_column: NameColumn = ""
    member: Member = ""
    every: int = Field(default=1, ge=1, description="use every n-th picture that has a mask")
    limit: int = Field(default=0, ge=0, description="use at most this many pictures; 0 means all")
    masks: str = Field(
        default="",
        description="where their masks are (docs/segment.md); 'demo': the exact masks of the demo world's scenes",
    )
    mask_kind: Literal["", "values", "binary", "voc", "coco", "gtsegs"] = Field(
        default="",
        description="what kind of masks they are: values that stand for classes, binary (of one class each), Pascal "
        "VOC's, COCO's annotations, ImageNet-Segmentation's file (default: by what is there)",
    )
    mask_column: str = Field(
        default="", description="column of the Parquet files that holds the masks (default: mask)"
    )
    mask_names: str = Field(
        default="",
        description="what the values of masks stand for: voc, coco, or a file with a value, a comma and a name a line",
    )
    classes: str = Field(
        default="masks",
        description="classes that have a text, and among which one is predicted: 'masks' (those that the masks name), "
        "'imagenet', 'demo' (the things of the demo world) or a file of names",
    )
    templates: str = Field(
        default="imagenet",
        description="'imagenet' (OpenAI's 80), 'demo', or a file with {} in each line",
    )
    methods: tuple[str, ...] = Field(
        default=(ALL,), description=f"attribution methods: {', '.join(METHODS)}, or 'all'"
    )
    protocols: tuple[str, ...] = Field(
        default=DEFAULT,
        description="how maps are judged: text/alignment/threshold/upsampling, each of given, predicted or wrong "
        "(another class's), aligned or square, 0.5, mean or best, bilinear or nearest; methods are compared under "
        "the first",
    )
    neurons_per_class: int = Field(
        default=200, ge=1, description="neurons that make a map of second order, for each class"
    )
    neuron_layers: Layers = Field(
        default=(),
        description="layers that they are chosen from; by default the last quarter of those that have second-order "
        "effects, which are the paper's 8-10 of 12",
    )

    @field_validator("methods")
    @classmethod
    def _known(cls, methods: tuple[str, ...]) -> tuple[str, ...]:
        if not methods:
            raise ValueError("name an attribution method, or 'all'")
        for name in methods:
            if name not in (*METHODS, ALL):
                near = suggestion(name, METHODS)
                raise ValueError(
                    f"{name!r} is no method: expected {', '.join(METHODS)}, or all{near}"
                )
        return methods

    @field_validator("protocols")
    @classmethod
    def _readable(cls, protocols: tuple[str, ...]) -> tuple[str, ...]:
        if not protocols:
            raise ValueError("maps are judged under at least one protocol")
        for name in protocols:
            Protocol.named(name)
        return tuple(dict.fromkeys(protocols))

    @property
    def chosen_methods(self) -> tuple[str, ...]:
        """The methods, each once, in the order of `METHODS`."""
        return tuple(name for name in METHODS if name in self.methods or ALL in self.methods)
