"""The module that is trained: the demo's CLIP with a free embedding per label, and the losses."""

from typing import Any

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, linear, normalize, pad

from clipneuron.demo.training.batches import LABELS, TrainingBatch


class Patches(nn.Module):
    """A patch embedding as one matrix product, whose backward pass is much faster on a CPU than a convolution's."""

    def __init__(self, convolution: nn.Conv2d):
        super().__init__()
        self.weight, self.side = convolution.weight, convolution.kernel_size[0]

    def forward(self, images: Tensor) -> Tensor:
        """The output of the convolution, [image, width, row, column]."""
        patches = rearrange(images, "b c (h p) (w q) -> b h w (c p q)", p=self.side, q=self.side)
        return rearrange(linear(patches, self.weight.flatten(1)), "b h w d -> b d h w")


class Learner(nn.Module):
    """An open_clip.CLIP with the parameters that only its training needs."""

    def __init__(self, clip: Any, embed_dim: int):
        super().__init__()
        self.clip = clip
        self.clip.visual.conv1 = Patches(self.clip.visual.conv1)
        self.label = nn.Parameter(torch.randn(len(LABELS), embed_dim))
        self.bias = nn.Parameter(torch.full((3,), -5.0))
        """Of the label, name and caption losses."""

    def losses(
        self, batch: TrainingBatch, names: Tensor | None, captions: Tensor | None
    ) -> list[Tensor]:
        """The label loss and, given tokens of names and captions, the losses against these."""
        image = self.clip.encode_image(pixels(batch.pictures), normalize=True).float()
        labels = torch.from_numpy(batch.labels)
        losses = [self._pairs(image, normalize(self.label, dim=-1), labels, 0)]
        if names is not None and captions is not None:
            padded = pad(labels, (0, len(names) - len(LABELS)))
            losses.append(self._pairs(image, self.encode_text(names), padded, 1))
            truth = torch.from_numpy(batch.truth)
            losses.append(self._pairs(image, self.encode_text(captions), truth, 2))
        return losses

    def encode_text(self, tokens: Tensor) -> Tensor:
        """`clip.encode_text(tokens, normalize=True)`, skipping the padding after the longest.

        Tokens never attend to later ones, so the padding cannot matter; short names take a third of the time.
        """
        clip, long = self.clip, int((tokens != 0).sum(1).max())
        tokens = tokens[:, :long]
        hidden = clip.token_embedding(tokens) + clip.positional_embedding[:long]
        hidden = clip.transformer(hidden, attn_mask=clip.attn_mask[:long, :long])
        hidden = clip.ln_final(hidden)[torch.arange(len(tokens)), tokens.argmax(1)]
        return normalize((hidden @ clip.text_projection).float(), dim=-1)

    def _pairs(self, image: Tensor, other: Tensor, truth: Tensor, which: int) -> Tensor:
        """Sigmoid loss over all pairs, summed per picture."""
        logits = self.clip.logit_scale.exp() * image @ other.T + self.bias[which]
        loss = binary_cross_entropy_with_logits(logits, truth.float(), reduction="sum")
        return loss / len(image)


def pixels(pictures: NDArray[np.uint8]) -> Tensor:
    """Pictures [picture, 64, 64, 3] as input of the model, [picture, 3, 64, 64] in [-1, 1]."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
