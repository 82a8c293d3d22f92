"""How the truth of words is measured."""

from pydantic import Field

from clipneuron.config.base import Config
from clipneuron.config.columns import ImageColumn, LabelColumn, Member, NameColumn


class Explanation(Config):
    """How the truth of words is measured: held-out pictures, and the witness that says what is true of them."""

    images: str = Field(
        default="",
        description="held-out pictures, other ones than the sweep's: any collection; 'demo' renders scenes of the demo "
        "world",
    )
    image_column: ImageColumn = ""
    label_column: LabelColumn = ""
    name_column: NameColumn = ""
    member: Member = ""
    tag_column: str = Field(
        default="",
        description="column of the Parquet files, or key of contents.jsonl, with the tags (lists) or captions (text) "
        "of the pictures, by which words are judged",
    )
    every: int = Field(default=1, ge=1, description="use every n-th picture")
    limit: int = Field(default=0, ge=0, description="use at most this many pictures; 0 means all")
    witness: str = Field(
        default="",
        description="who says what is true of pictures: scenes (of the demo world), labels, tags, or another CLIP, "
        "MODEL:PRETRAINED or a folder (default: scenes for the demo's pictures, tags where --tag-column is given, "
        "else labels)",
    )
    witness_share: float = Field(
        default=0.02,
        gt=0,
        lt=1,
        description="share of the pictures that a word is true of where the witness, another CLIP, only knows "
        "similarities",
    )
    hypernyms: str = Field(
        default="",
        description="file of what else is true of the pictures of a class: a line per class, its name or WordNet id, "
        "a tab, and words with commas between them",
    )
    share: float = Field(
        default=0.02,
        gt=0,
        lt=1,
        description="share of the pictures that a neuron counts as writing much on, for F1 and IoU",
    )
    classes: str = Field(
        default="labels",
        description="classes whose logits are watched: 'labels' (of the pictures), 'imagenet', 'demo' (the things of "
        "the demo world) or a file of names",
    )
    templates: str = Field(
        default="imagenet",
        description="'imagenet' (OpenAI's 80), 'demo', or a file with {} in each line",
    )
    painter: str = Field(
        default="",
        description="also score words by CoSy, on pictures of them painted by 'deepfloyd', 'flux', a text-to-image "
        "pipeline of the hub or a folder, or 'demo' (default: nobody paints)",
    )
    painter_memory: float = Field(
        default=0, ge=0, description="GiB of main memory that an actor of the painter is placed by"
    )
    offload: bool = Field(
        default=False,
        description="keep only the painter's network at work on the GPU: less memory, more time",
    )
    painted_neurons: int = Field(
        default=50,
        ge=1,
        description="neurons of each layer, drawn at random, whose words are painted",
    )
    painted_each: int = Field(default=50, ge=1, description="pictures of every word")
    painted_caption: str = Field(
        default="realistic photo of a close up of {}",
        description="what a word is painted from; {} is the word; the default is CoSy's",
    )
