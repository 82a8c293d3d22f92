"""TextSpan on covariances, against the algorithm on the effects themselves, step by step."""

import pytest
import torch
from torch.nn import functional

from clipneuron.lens.sparse.supports import STOPPED
from clipneuron.lens.words.textspan import covariances, span_scores, spans

IMAGES, HEADS, EMBED, TEXTS, COUNT = 40, 3, 12, 25, 5


@pytest.fixture(scope="module")
def effects() -> torch.Tensor:
    dice = torch.Generator().manual_seed(0)
    spread = torch.randn(HEADS, EMBED, EMBED, generator=dice, dtype=torch.float64)
    raw = torch.randn(IMAGES, HEADS, 1, EMBED, generator=dice, dtype=torch.float64)
    return (raw @ spread)[:, :, 0] + 3


@pytest.fixture(scope="module")
def texts() -> torch.Tensor:
    dice = torch.Generator().manual_seed(1)
    return functional.normalize(
        torch.randn(TEXTS, EMBED, generator=dice, dtype=torch.float64), dim=1
    )


def literal(centred: torch.Tensor, texts: torch.Tensor) -> tuple[list[int], list[torch.Tensor]]:
    """The text of most variance; its direction is taken out of effects and texts; and so on."""
    chosen, directions, left, whole = [], [], texts.clone(), centred
    for _ in range(COUNT):
        variances = (left @ centred.T).square().sum(1)
        variances[chosen] = -1
        index = int(variances.argmax())
        unit = left[index] / left[index].norm()
        chosen.append(index)
        directions.append(unit)
        centred = centred - torch.outer(centred @ unit, unit)
        left = left - torch.outer(left @ unit, unit)
    assert centred.norm() < whole.norm()
    return chosen, directions


@pytest.mark.parametrize("block", [1, 2, 8])
def test_texts_and_directions_are_those_of_the_algorithm(effects, texts, block) -> None:
    found = spans(covariances(effects), texts, COUNT, block=block)
    for head in range(HEADS):
        centred = effects[:, head] - effects[:, head].mean(0)
        chosen, directions = literal(centred, texts)
        assert found.indices[head].tolist() == chosen
        torch.testing.assert_close(found.directions[head], torch.stack(directions))
        along = (centred @ found.directions[head].T).square().sum(0) / centred.square().sum()
        torch.testing.assert_close(found.shares[head], along)
    gram = found.directions @ found.directions.mT
    torch.testing.assert_close(gram, torch.eye(COUNT, dtype=torch.float64).expand(HEADS, -1, -1))


def test_a_head_that_writes_along_few_directions_gets_few_texts(texts) -> None:
    dice = torch.Generator().manual_seed(2)
    amounts = torch.randn(IMAGES, 2, generator=dice, dtype=torch.float64)
    one = amounts @ texts[[4, 9]]
    still = torch.ones_like(one)
    found = spans(covariances(torch.stack([one, still], dim=1)), texts, COUNT)
    assert {4, 9} <= set(found.indices[0, :3].tolist())
    assert STOPPED in found.indices[0].tolist() or found.shares[0].sum() > 0.999
    assert found.indices[1].tolist() == [STOPPED] * COUNT
    assert not found.directions[1].any()
    with pytest.raises(ValueError, match="at least one text per head"):
        spans(covariances(one[:, None]), texts, 0)


def test_scores_are_sums_over_the_heads_that_have_a_text(effects, texts) -> None:
    found = spans(covariances(effects), texts, COUNT)
    offsets = torch.einsum("he,hpe->hp", effects.mean(0), found.directions)
    scores = span_scores(effects, found, offsets, TEXTS)
    wanted = torch.zeros(IMAGES, TEXTS, dtype=torch.float64)
    for head in range(HEADS):
        centred = effects[:, head] - effects[:, head].mean(0)
        for text, direction in zip(found.indices[head], found.directions[head], strict=True):
            wanted[:, text] += centred @ direction
    torch.testing.assert_close(scores, wanted)
