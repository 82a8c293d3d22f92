"""How the paper's evidence is gathered."""

from pydantic import Field

from clipneuron.config.base import Config
from clipneuron.config.columns import ImageColumn, LabelColumn, Member, NameColumn
from clipneuron.config.values.layers import Layers
from clipneuron.lens.options import Rule


class Evaluation(Config):
    """How the paper's evidence is gathered: labelled pictures, a zero-shot classifier, what is looked at closely."""

    images: str = Field(
        default="",
        description="labelled pictures: a folder per class, Parquet or tar files; 'demo' renders scenes of one thing "
        "each",
    )
    image_column: ImageColumn = ""
    label_column: LabelColumn = ""
    name_column: NameColumn = ""
    member: Member = ""
    every: int = Field(default=1, ge=1, description="use every n-th picture (the authors: 10)")
    limit: int = Field(default=0, ge=0, description="use at most this many pictures; 0 means all")
    classes: str = Field(
        default="labels",
        description="class names: 'imagenet', 'labels' (as the pictures' labels are named) or a file",
    )
    templates: str = Field(
        default="imagenet",
        description="'imagenet' (OpenAI's 80), 'demo', or a file with {} in each line",
    )
    detail_layers: Layers = Field(
        default=(),
        description="layers of Fig. 4 and Table 1; by default the third from last (9 of ViT-B-32)",
    )
    pools: tuple[str, ...] = Field(
        default=("words-10k", "words-30k"),
        description="text pools of Fig. 4, as for `recipe.pool`, or class-descriptions:ANSWERS.jsonl",
    )
    sizes: tuple[int, ...] = Field(
        default=(),
        description="texts per neuron, m of Fig. 4; by default 4, 8, ... up to a quarter of the model's dimensions, at "
        "most 128",
    )
    reconstruction: Rule = Field(
        default="paper",
        description="what replaces phi - b: paper, <phi - b, r> r_hat; authors, <phi - b, r_hat> r_hat",
    )
    indirect_neurons: int = Field(
        default=64, ge=1, description="neurons per layer of Table 1, drawn at random"
    )
    indirect_images: int = Field(
        default=512,
        ge=2,
        description="pictures of D, spread evenly over it, that they are held at their mean on",
    )
    neurons: tuple[tuple[int, int], ...] = Field(
        default=(), description="(layer, neuron) to show with words and pictures (Tables 2 and 5)"
    )
