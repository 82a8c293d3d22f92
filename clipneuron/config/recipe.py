"""Named configurations of a whole run. A recipe says what to compute; `clipneuron.sweep` carries it out."""

import re
from typing import Literal

from pydantic import Field, field_validator

from clipneuron.config.atlas import Atlas
from clipneuron.config.attack import Attack
from clipneuron.config.base import Config
from clipneuron.config.columns import ImageColumn, LabelColumn, Member, NameColumn
from clipneuron.config.concepts import Concepts
from clipneuron.config.evaluation import Evaluation
from clipneuron.config.explanation import Explanation
from clipneuron.config.segmentation import Segmentation
from clipneuron.config.values.layers import LayersOrAll
from clipneuron.config.values.memory import Memory, Precision
from clipneuron.lens.options import HighDepth, Preparation, Split


class Recipe(Config):
    """Everything that decides what a run computes. Defaults are the paper's where it has one."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="short name; the run is stored as name-fingerprint",
    )
    model: str = Field(
        description="open_clip architecture, folder of an open_clip model or a CLIPModel, hf-hub:OWNER/NAME, or 'demo'"
    )
    pretrained: str | None = Field(default=None, description="open_clip tag, or a checkpoint file")
    images: str = Field(
        description="folder, picture, Parquet or tar files, here or under s3://; 'demo' renders scenes of the demo "
        "world"
    )
    image_column: ImageColumn = ""
    label_column: LabelColumn = ""
    name_column: NameColumn = ""
    member: Member = ""
    every: int = Field(default=1, ge=1, description="use every n-th picture (the authors: 250)")
    limit: int = Field(default=0, ge=0, description="use at most this many pictures; 0 means all")
    calibrate_on: int = Field(
        default=0,
        ge=0,
        description="take the mean effects from so many of the pictures, spread evenly (the paper: 5000), so that the "
        "others are passed over once instead of twice; 0 means all",
    )
    cache: str = Field(
        default="",
        description="keep the decoded pixels of shards in this folder (on every node, or shared) or "
        "s3://bucket/prefix, and read them from there; results are the same",
    )
    cache_size: float = Field(
        default=0.0, ge=0, description="GB that the cache may take in one place; 0 means no bound"
    )
    high_depth: HighDepth = Field(
        default="clip",
        description="grey pictures of 16 bits, 32 bits or floats: clip values to 0-255 as open_clip does, scale each "
        "from its least to its greatest value, or refuse what clipping would change",
    )
    layers: LayersOrAll = Field(
        default=(), description="MLP layers, 0-based; 'all', the default, means all but the last"
    )
    split: Split = Field(
        default="equal", description="layer-norm split: equal (Eq. 8-11) or centered"
    )
    normalize: bool = Field(default=True, description="divide effects by |M_image(I)|")
    top: int = Field(
        default=100, ge=2, description="top effects per neuron that give its direction (Sec. 3.3)"
    )
    pool: str = Field(
        default="words-30k",
        description="text pool: 'demo', words-10k, words-N, a text file or a URL (Sec. 4: 30k common words)",
    )
    preparation: Preparation = Field(
        default="unit", description="unit, centered, or authors (per-dimension norm, see docs)"
    )
    atoms: int | None = Field(
        default=None,
        ge=1,
        description="texts per neuron of the long descriptions that the paper's claims are about, m; by default a "
        "quarter of the model's dimensions, the paper's ratio, at most 128",
    )
    shard_size: int = Field(default=256, ge=1, description="pictures per shard")
    block: int = Field(default=256, ge=1, description="neurons per shard of the per-neuron stages")
    batch_size: int = Field(default=32, ge=1, description="pictures per forward pass")
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        default="float32", description="number format of the model's passes"
    )
    compile: bool = Field(
        default=False,
        description="trace pictures by torch's compiler: equal up to rounding, after seconds to minutes of compiling "
        "in each process, which takes a C++ compiler; whether it pays, benchmarks/compiled.py and gpu.py tell",
    )
    device: str = Field(
        default="auto", description="auto (a GPU if there is one), cpu, cuda or cuda:1"
    )
    memory: Memory = Field(
        default="",
        description="memory that the sweep's pass may take where the model is, such as 24GB: what does not fit in "
        "float32 is held in float16 (`recipe.precision`), then swept in groups of layers; empty: no bound",
    )
    precision: Precision = Field(
        default="auto",
        description="in what the sweep holds Gram matrices and top coefficients: float32, float16 (norms off by about "
        "1e-5), or auto, which is float32 unless that does not fit `recipe.memory`",
    )
    norms: Literal["float32", "float16"] = Field(
        default="float32",
        description="number format of the table `norms`: float16 halves its bytes and rounds each by at most 0.05 % "
        "(3e-8 where it is below 6e-5); thresholds, directions and top pictures are the same",
    )
    words: int = Field(
        default=4,
        ge=1,
        description="texts per neuron of the short descriptions, the words that are shown and scored; other describers "
        "give as many",
    )
    negative_words: bool = Field(
        default=True,
        description="words may have negative weights, where a neuron writes against them; without, they come from a "
        "non-negative pursuit",
    )
    seed: int = Field(default=0, ge=0, description="seed of the demo world's scenes")
    text_activation: Literal["trained", "gelu"] = Field(
        default="trained",
        description="activation of the text tower; gelu is what the authors' program runs OpenAI's QuickGELU weights "
        "with",
    )
    evaluation: Evaluation = Field(
        default_factory=Evaluation, description="how the paper's evidence is gathered"
    )
    explanation: Explanation = Field(
        default_factory=Explanation, description="how the truth of words is measured"
    )
    attack: Attack = Field(
        default_factory=Attack, description="how semantic adversarial images are produced"
    )
    concepts: Concepts = Field(
        default_factory=Concepts, description="how concepts are found in pictures"
    )

    segmentation: Segmentation = Field(
        default_factory=Segmentation,
        description="how attribution maps are judged as segmentations",
    )
    atlas: Atlas = Field(default_factory=Atlas, description="what the pages of the neurons show")

    @property
    def is_papers_model(self) -> bool:
        """Whether the model is that of the paper's figures, OpenAI's ViT-B-32."""
        return (self.model, self.pretrained) == ("ViT-B-32", "openai")

    @property
    def is_papers_attack(self) -> bool:
        """Whether model and painter are those of the paper's Table 3."""
        return self.is_papers_model and self.attack.painter == "deepfloyd"

    @field_validator("device")
    @classmethod
    def _spelling(cls, device: str) -> str:
        if device.partition(":")[0] == "mps":
            raise ValueError(
                "Apple's GPU (mps) has no float64, in which effects are summed: use cpu, which auto takes there"
            )
        if not re.fullmatch(r"auto|(cpu|cuda)(:\d+)?", device):
            raise ValueError("there is no such device: expected auto, cpu, cuda or cuda:1")
        return device
