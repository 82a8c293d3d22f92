"""The choices that the method leaves open, by name; without torch, so that a configuration is checked without it."""

from typing import Literal

Rule = Literal["paper", "authors"]
"""How texts replace effects: read along r and write the sum of texts, or read and write along that sum."""

Split = Literal["equal", "centered"]
"""What happens to terms that belong to no neuron; see `clipneuron.lens.effects`."""

Preparation = Literal["unit", "centered", "authors"]
"""How a pool is scaled before the pursuit; see `clipneuron.lens.pursuit.prepare`."""

HighDepth = Literal["clip", "scale", "refuse"]
"""What becomes of pictures of more than 8 bits a value; see `clipneuron.models.clip.preprocessing.contents.shallow`."""

Scoring = Literal["sum", "authors"]
"""How contributions become a text's score; see `clipneuron.lens.spurious.text_scores`."""

Threshold = Literal["0.5", "mean", "best"]
"""Above which value a map from 0 to 1 is foreground; see `clipneuron.lens.scores.segmentation.thresholds`."""

Upsampling = Literal["bilinear", "nearest"]
"""How patches become pixels; see `clipneuron.lens.scores.segmentation.upsampled`."""

Alignment = Literal["aligned", "square"]
"""How a mask comes to the size that the model reads: as its picture does, or squeezed into the square whatever becomes
of the picture, which is how the paper's own program has it (see `clipneuron.data.masks.alignment`)."""

ALIKE = 0.99
"""The cosine of two prepared texts above which they count as nearly equal: singular and plural, two spellings."""
