"""The best text of a step, found chunk by chunk."""

import pytest
import torch

from clipneuron.lens.sparse.supports import NonNegativeSupport, Support


@pytest.mark.parametrize("texts", [1, 2, 127, 128, 129, 256, 1000])
@pytest.mark.parametrize("kind", [Support, NonNegativeSupport])
def test_the_first_of_the_largest_scores_is_chosen(texts: int, kind: type[Support]) -> None:
    scores = torch.randint(-3, 4, (50, texts), generator=torch.Generator().manual_seed(texts))
    rated = scores.abs() if kind is Support else scores
    score, index = kind(torch.ones(50, 4), 1).scored(scores.float(), 0)
    first = [row.index(max(row)) for row in rated.tolist()]
    assert index.tolist() == first
    assert torch.equal(score, rated.amax(dim=1).float())


def test_texts_that_are_taken_are_not_chosen_again() -> None:
    support = Support(torch.ones(2, 4), 3)
    support.indices[:, 0] = torch.tensor([299, 128])
    scores = torch.zeros(2, 300)
    scores[0, 299], scores[0, 130] = 5.0, -2.0
    scores[1, 128], scores[1, 3] = -5.0, 1.0
    assert support.scored(scores, 1)[1].tolist() == [130, 3]
