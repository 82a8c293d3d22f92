"""CoSy's two scores of a neuron's word: does it respond more to generated pictures of the word than to others?

Kopf et al., "CoSy: Evaluating Textual Explanations of Neurons" (NeurIPS 2024), Sec. 3: pictures of the word are
generated, and the neuron's responses to them are compared with those to control pictures.

    AUC  how often the response to a generated picture is above that to a control picture, ties half
    MAD  mean activation difference: (mean over generated - mean over control) / standard deviation over control

Both hardly notice words that are true of too many or too few pictures (tests/lens/words/test_truth.py, for AUC). They
stand beside published figures, not among the results.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from clipneuron.lens.scores.metrics import auc


class Cosy(NamedTuple):
    """The scores of a block of neurons."""

    auc: Float[Tensor, "neuron"]
    mad: Float[Tensor, "neuron"]
    """In standard deviations over the control pictures; 0 where these do not vary, as in the authors' program."""


def cosy(
    generated: Float[Tensor, "neuron picture"], control: Float[Tensor, "neuron image"]
) -> Cosy:
    """Compare responses to generated pictures of a neuron's word with those to control pictures.

    Raises ValueError without a generated picture, or with fewer than two control pictures.
    """
    if generated.shape[1] < 1 or control.shape[1] < 2:
        raise ValueError(
            f"expected at least one generated picture and two control pictures, got {generated.shape[1]} and "
            f"{control.shape[1]}"
        )
    responses = torch.cat([control, generated], dim=1)
    labels = torch.arange(responses.shape[1], device=responses.device) >= control.shape[1]
    spread = control.double().std(dim=1)
    gain = generated.double().mean(1) - control.double().mean(1)
    mad = torch.where(spread > 0, gain / torch.where(spread > 0, spread, 1), 0)
    return Cosy(auc(responses, labels.expand_as(responses)), mad.to(generated))
