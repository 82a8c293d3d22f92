"""How a map is judged against a mask, as data: every figure of a segmentation is under a protocol, and names it."""

from dataclasses import dataclass
from typing import Literal, get_args

from clipneuron.config.suggestions import suggestion
from clipneuron.lens.options import Alignment, Threshold, Upsampling

Text = Literal["given", "predicted", "wrong"]
"""Whose text a map is made for: the mask's own class, the class that the model predicts, or another one (a control)."""

AXES = {"text": Text, "alignment": Alignment, "threshold": Threshold, "upsampling": Upsampling}


@dataclass(frozen=True)
class Protocol:
    """One choice on every axis."""

    text: Text
    alignment: Alignment
    threshold: Threshold
    upsampling: Upsampling

    @classmethod
    def named(cls, name: str) -> "Protocol":
        """The protocol of a name; raises ValueError that says which part is wrong and what it may be.

        >>> Protocol.named("given/aligned/0.5/bilinear").threshold
        '0.5'
        """
        parts = name.split("/")
        if len(parts) != len(AXES):
            raise ValueError(
                f"{name!r} is no protocol: expected {'/'.join(AXES)}, such as given/aligned/0.5/bilinear"
            )
        for part, (axis, words) in zip(parts, AXES.items(), strict=True):
            known = get_args(words)
            if part not in known:
                raise ValueError(
                    f"{part!r} of {name!r} is no {axis}: expected {', '.join(known)}{suggestion(part, known)}"
                )
        return cls(*parts)  # type: ignore[arg-type]  # each was just found among its words

    @property
    def name(self) -> str:
        """As a configuration and every table write it."""
        return "/".join((self.text, self.alignment, self.threshold, self.upsampling))

    @property
    def controlled(self) -> "Protocol":
        """The same with another class's text."""
        return Protocol("wrong", self.alignment, self.threshold, self.upsampling)


DEFAULT = (
    "given/aligned/0.5/bilinear",
    "wrong/aligned/0.5/bilinear",
    "predicted/aligned/0.5/bilinear",
    "given/aligned/mean/bilinear",
    "given/aligned/best/bilinear",
    "given/aligned/0.5/nearest",
    "given/square/0.5/bilinear",
    # As the programs of the second-order paper and of TextSpan have it.
    "predicted/square/0.5/bilinear",
    "predicted/square/mean/bilinear",
)
"""The first is the one that methods are compared under; each of the next six differs from it in one choice."""
