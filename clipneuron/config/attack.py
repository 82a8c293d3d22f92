"""How semantic adversarial images are produced."""

from typing import Literal

from pydantic import Field

from clipneuron.config.base import Config
from clipneuron.config.values.layers import LayersOrAll
from clipneuron.tables.experiments import METHODS, Method

PAIRS: dict[str, tuple[str, ...]] = {
    # Table 3
    "cifar10": ("horse:automobile", "dog:deer", "bird:frog", "ship:truck", "ship:automobile"),
    # Figure 13
    "figure13": (
        "dog:deer",
        "dog:cat",
        "frog:bird",
        "bird:frog",
        "bird:cat",
        "bird:horse",
        "cat:vacuum cleaner",
        "stop sign:yield",
        "stop sign:crossroad",
    ),
}
"""The paper's pairs c1:c2; c1 is in the picture, c2 is what it is to be taken for."""


class Attack(Config):
    """How semantic adversarial images are produced (Sec. 5.1); the numbers are the paper's."""

    pairs: tuple[str, ...] = Field(
        default=("cifar10",),
        description="c1:c2 (c1 is shown, c2 is what it is to be taken for), 'cifar10' (Table 3), 'figure13', 'all' "
        "(each class against another one), or a file with a pair per line",
    )
    classes: str = Field(
        default="cifar10", description="all classes: 'cifar10', 'imagenet' or a file of names"
    )
    methods: tuple[Method, ...] = Field(
        default=METHODS,
        description="how words are found: by the few words of the neurons for c2 - c1, as in the paper by their long "
        "descriptions, or by one of Table 3's baselines",
    )
    repeats: int = Field(default=3, ge=1, description="repetitions of the whole experiment")
    layers: LayersOrAll = Field(
        default=(), description="layers of the neurons; 'all', the default, means all of the run"
    )
    neurons: int = Field(default=100, ge=1, description="neurons that words are taken from")
    words: int = Field(default=25, ge=1, description="words that the captions are asked for")
    rule: Literal["paper", "authors"] = Field(
        default="paper",
        description="contributions summed over neurons (Eq. 6), or taken one by one",
    )
    sentences: str = Field(
        default="sentence-transformers/all-distilroberta-v1",
        description="model that finds synonyms of c2: a hub name, a folder, or 'clip', the model itself",
    )
    similarity: float = Field(default=0.6, description="cosine at which a word is a synonym")
    blocked: str = Field(default="", description="file of words that are left out, one per line")
    captioner: str = Field(
        default="meta-llama/Meta-Llama-3-8B-Instruct",
        description="hub name or folder of a chat model, http(s)://HOST/v1#MODEL, answers:FILE, or 'demo'",
    )
    captioner_memory: float = Field(
        default=0,
        ge=0,
        description="GiB of main memory that an actor of the captioner is placed by",
    )
    system: str = Field(
        default="You carry out instructions to the letter.",
        description="the role that the captioner is given; '' for none",
    )
    temperature: float = Field(
        default=0.6, ge=0, description="of the captioner's sampling; 0 takes the likeliest word"
    )
    top_p: float = Field(
        default=0.9, gt=0, le=1, description="share of probability that the captioner samples from"
    )
    max_tokens: int = Field(
        default=2048, ge=1, description="longest answer of the captioner, its thoughts included"
    )
    limit_field: Literal["max_tokens", "max_completion_tokens"] = Field(
        default="max_tokens", description="what the captioner's service calls that limit"
    )
    omit: tuple[Literal["system", "temperature", "top_p", "max_tokens", "seed"], ...] = Field(
        default=(),
        description="what the captioner is not told, since its service does not take it; without a system's turn its "
        "text begins the user's",
    )
    captions: int = Field(default=50, ge=1, description="captions that are asked for")
    rounds: int = Field(
        default=3, ge=1, description="times that captions are asked for until enough fit"
    )
    chosen: int = Field(default=10, ge=1, description="captions that are painted, drawn at random")
    painter: str = Field(
        default="deepfloyd",
        description="'deepfloyd', 'flux', hub name or folder of a text-to-image pipeline, or 'demo'",
    )
    painter_memory: float = Field(
        default=0, ge=0, description="GiB of main memory that an actor of the painter is placed by"
    )
    offload: bool = Field(
        default=False,
        description="keep only the network at work on the GPU: less memory, more time",
    )
    each: int = Field(default=10, ge=1, description="pictures of every caption")
    witness: str = Field(
        default="",
        description="another CLIP that suggests what pictures show, MODEL:PRETRAINED, a folder, or 'demo'; "
        "empty: nobody (the demo's painter knows)",
    )
