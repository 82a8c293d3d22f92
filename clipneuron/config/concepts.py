"""How concepts are found in pictures."""

from typing import Literal, get_args

from pydantic import Field

from clipneuron.config.base import Config
from clipneuron.config.columns import ImageColumn, LabelColumn, Member, NameColumn
from clipneuron.config.values.layers import Layers

Method = Literal[
    "second-order", "second-order-signed", "other-neurons", "nearest", "splice", "textspan"
]
"""Who names the concepts of a picture: its activated neurons, their control, or what works without neurons."""

METHODS: tuple[Method, ...] = get_args(Method)

CONTROL: Method = "other-neurons"
"""The method that the others are held against: it stands in tables only."""


class Concepts(Config):
    """How concepts are found in pictures (Sec. 5.2), and what stands beside them."""

    images: str = Field(
        default="",
        description="pictures to find concepts in: any collection; 'demo' renders scenes that the sweep has not seen "
        "(default: the swept ones)",
    )
    image_column: ImageColumn = ""
    label_column: LabelColumn = ""
    name_column: NameColumn = ""
    member: Member = ""
    tag_column: str = Field(
        default="",
        description="column of the Parquet files, or key of contents.jsonl, with the tags (lists) or captions (text) "
        "of the pictures, by which concepts are judged (default: by the names of their classes)",
    )
    hypernyms: str = Field(
        default="",
        description="file of what else is true of the pictures of a class: a line per class, its name or WordNet id, "
        "a tab, and words with commas between them",
    )
    every: int = Field(default=1, ge=1, description="use every n-th picture")
    limit: int = Field(default=0, ge=0, description="use at most this many pictures; 0 means all")
    concept_layers: Layers = Field(
        default=(),
        description="layers whose neurons name concepts; by default the third from last (9 of ViT-B-32, as in Fig. 7)",
    )
    rule: Literal["quantile", "top"] = Field(
        default="quantile",
        description="when a neuron is activated on a picture: its |phi - b| is above its 98 % quantile over the swept "
        "pictures (the paper), or above the least of its top effects, `recipe.top` (the authors' program)",
    )
    described: Literal["long", "short"] = Field(
        default="long",
        description="whose weights score a concept: the long descriptions of the neurons (the paper's 128 texts) or "
        "their few words",
    )
    methods: tuple[Method, ...] = Field(
        default=METHODS,
        min_length=1,
        description="who names concepts: second-order (the paper's scores), second-order-signed (<phi - b, r> in place "
        "of |phi - b|), other-neurons (a control: each neuron with another one's words), nearest (cosines of the "
        "picture's embedding), splice (a sparse sum of the embedding), textspan (texts of attention heads)",
    )
    count: int = Field(default=10, ge=1, description="concepts of a picture that are kept")
    strongest: int = Field(
        default=5,
        ge=1,
        description="neurons that are kept of each concept, those that give it most",
    )
    penalty: float = Field(
        default=0.2,
        gt=0,
        lt=1,
        description="weight of the l1 norm in the sparse sum of an embedding: a text enters it where its cosine with "
        "what is left of the embedding is greater (SpLiCE)",
    )
    sample: int = Field(
        default=512,
        ge=2,
        description="swept pictures, spread evenly, that give the mean embedding and the texts of attention heads",
    )
    depth: int = Field(
        default=4, ge=1, description="last layers whose attention heads get texts (TextSpan)"
    )
    head_texts: int = Field(default=20, ge=1, description="texts of each attention head")
