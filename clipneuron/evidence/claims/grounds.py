"""What the claims are judged by: the setting of a run, its accuracies and the distributions over its neurons."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from clipneuron.evidence.accuracies import Accuracies
from clipneuron.evidence.claims import paper
from clipneuron.evidence.distributions import Distributions
from clipneuron.reports.quantities import counted
from clipneuron.reports.verdicts import Claim, Figure, Judgement, percent
from clipneuron.tables.ablations import Ablation

LATE = 2 / 3
"""Where the late layers begin, as a share of the depth: layer 8 of the paper's 12, whose layers 8-10 matter most."""


@dataclass(frozen=True)
class Setting:
    """What a run was about, as it is written above its report.

    depth: layers of the model; layers: those that were swept.
    has_other_pictures: no picture of the evaluation is one of D.
    top: effects per neuron that are significant on D by definition (the paper: 100 of about 5000).
    indirect_top: the same of the pictures that indirect effects are computed on.
    is_paper_model: the model is the paper's ViT-B-32; only then are differences to its figures computed.
    caveat: a sentence on what the figures must not be taken for, may be empty.
    more: anything else to be written down, such as the date and the command.
    """

    recipe: str
    model: str
    images: str
    images_count: int
    evaluation: str
    evaluation_count: int
    has_other_pictures: bool
    classes: int
    depth: int
    layers: tuple[int, ...]
    detail_layers: tuple[int, ...]
    split: str
    normalize: bool
    top: int
    reconstruction: str
    sizes: tuple[int, ...]
    neurons_drawn: int
    """Of each layer, for indirect effects."""
    indirect_images: int
    indirect_top: int
    is_paper_model: bool
    neurons_named: int = 0
    """Of all layers, beside those that were drawn."""
    caveat: str = ""
    more: dict[str, str] = field(default_factory=dict)

    @property
    def note(self) -> str:
        """The model, the pictures and the caveat in one line, to stand below a picture."""
        about = f"{self.model}; evaluation: {self.evaluation}; D: {self.images}"
        return f"{about}. {sentence(self.caveat)}" if self.caveat else about

    @property
    def _named(self) -> str:
        return f", and {self.neurons_named} that were named" if self.neurons_named else ""

    def rows(self) -> list[tuple[str, str]]:
        """The setting as names and values, for people."""
        lists = (self.layers, self.detail_layers, self.sizes)
        layers, details, sizes = (", ".join(map(str, numbers)) for numbers in lists)
        scale = "divided by |M_image(I)|" if self.normalize else "not normalised"
        return [
            ("recipe", self.recipe),
            ("model", f"{self.model}, {counted(self.depth, 'layers')}"),
            (
                "D (means, directions, thresholds)",
                f"{counted(self.images_count, 'pictures')}: {self.images}",
            ),
            ("evaluation", f"{counted(self.evaluation_count, 'pictures')}: {self.evaluation}"),
            (
                "classifier",
                f"{counted(self.classes, 'classes')}, zero-shot; chance {percent(1 / self.classes)}",
            ),
            ("layers swept", layers),
            ("layers of Fig. 4 and Table 1", details),
            ("effects", f"split {self.split}, {scale}"),
            (
                "large effects",
                f"the neuron's {self.top} largest centred norms on D, {_share(self.top, self.images_count)}",
            ),
            ("text reconstruction", f"{self.reconstruction}, m of {sizes}"),
            (
                "indirect effects",
                f"{counted(self.neurons_drawn, 'neurons')} per layer, drawn at random{self._named}, "
                f"{counted(self.indirect_images, 'pictures')}; variance of the {self.indirect_top} largest, "
                f"{_share(self.indirect_top, self.indirect_images)}",
            ),
            *self.more.items(),
        ]


@dataclass(frozen=True)
class Evidence:
    """What the claims are judged by."""

    setting: Setting
    accuracies: Accuracies
    distributions: Distributions

    @cached_property
    def worst(self) -> int | None:
        """The layer whose mean-ablation costs most, None without any."""
        found = self.accuracies
        costs = {layer: found.drop(Ablation("all", layer)) for layer in found.layers("all")}
        known = {layer: cost.value for layer, cost in costs.items() if cost}
        return max(known, key=known.__getitem__) if known else None

    @property
    def late(self) -> int:
        """The first late layer."""
        return int(np.ceil(self.setting.depth * LATE))

    def claim(
        self,
        where: str,
        statement: str,
        criterion: str,
        judgement: Judgement,
        *figures: Figure,
        paper_says: str = "",
        ours_says: str = "",
        of: str = "",
    ) -> Claim:
        """A claim of this run; `of` says which layer or pool it is about."""
        setting = f"{self.setting.model}, {counted(self.accuracies.pictures, 'labelled pictures')}"
        return Claim(
            where=where,
            statement=f"{statement} ({of})" if of else statement,
            criterion=criterion,
            figures=figures,
            judgement=judgement,
            setting=f"{setting}, {of}" if of else setting,
            comparable=self.setting.is_paper_model,
            paper_says=paper_says,
            ours_says=ours_says,
        )


def _share(top: int, pictures: int) -> str:
    return f"{percent(min(1.0, top / pictures))} of them (the paper: {percent(paper.SIGNIFICANT)})"


def sentence(text: str) -> str:
    """The words as a sentence of their own."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."
