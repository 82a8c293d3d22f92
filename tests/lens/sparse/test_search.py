"""The best text of a step: among all scores, or among few candidates, it is the same text."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from clipneuron.lens import pursuit as pursuits
from clipneuron.lens.pursuit import pursuit, solutions
from clipneuron.lens.sparse.search import ScreenedSearch, Search, searched

SEARCHES = pytest.mark.parametrize("kind", [Search, ScreenedSearch])


def pool(texts: int, embed: int = 64, cone: float = 0.0, seed: int = 0) -> Tensor:
    """Unit texts with that mean cosine."""
    generator = torch.Generator().manual_seed(seed)
    own = normalize(torch.randn(texts, embed, generator=generator), dim=1)
    centre = normalize(torch.randn(1, embed, generator=generator), dim=1)
    return normalize(cone**0.5 * centre + (1 - cone) ** 0.5 * own, dim=1)


def best(search: Search, residual: Tensor, taken: Tensor | None = None) -> list[int]:
    chosen = torch.zeros(len(residual), 0, dtype=torch.long) if taken is None else taken
    return search.best(residual, chosen, torch.ones(len(residual), dtype=torch.bool))[1].tolist()


@pytest.mark.parametrize("texts", [1, 2, 127, 128, 129, 256, 1000])
@pytest.mark.parametrize("opposite", [True, False])
@SEARCHES
def test_the_first_of_the_largest_scores_is_chosen(texts: int, opposite: bool, kind: type[Search]):
    scores = torch.randint(-3, 4, (50, texts), generator=torch.Generator().manual_seed(texts))
    rated = scores.abs() if opposite else scores
    rated[:, 0] += 1  # of those that point along the residual one is to be there
    scores[:, 0] = rated[:, 0]
    found = kind(scores.T.float().contiguous(), opposite)
    none, growing = torch.zeros(50, 0, dtype=torch.long), torch.ones(50, dtype=torch.bool)
    score, index = found.best(torch.eye(50), none, growing)
    first = [row.index(max(row)) for row in rated.tolist()]
    reached = rated.amax(dim=1).float()
    assert torch.equal(score, reached)
    assert [a for a, some in zip(index.tolist(), reached, strict=True) if some > 0] == [
        a for a, some in zip(first, reached, strict=True) if some > 0
    ]


@SEARCHES
def test_texts_that_are_taken_are_not_chosen_again(kind: type[Search]):
    texts = torch.zeros(300, 4)
    texts[299, 0], texts[130, 0] = 5.0, -2.0
    texts[128, 1], texts[3, 1] = -5.0, 1.0
    assert best(kind(texts), torch.eye(4)[:2]) == [299, 128]
    assert best(kind(texts), torch.eye(4)[:2], torch.tensor([[299], [128]])) == [130, 3]


@settings(max_examples=60)
@given(
    texts=st.integers(1, 700),
    embed=st.sampled_from([1, 3, 64, 200]),
    cone=st.sampled_from([0.0, 0.5, 0.99]),
    scale=st.sampled_from([1e-18, 1.0, 1e15]),
    uneven=st.booleans(),
    opposite=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_a_screened_search_misses_no_text_that_is_better(
    texts: int, embed: int, cone: float, scale: float, uneven: bool, opposite: bool, seed: int
):
    given = scale * pool(texts, embed, cone, seed)
    if uneven:
        given = given * torch.rand(texts, 1).square()
    residual = torch.randn(9, embed) * torch.logspace(-9, 9, 9)[:, None]
    exact = residual.double() @ given.double().T
    rated = exact.abs() if opposite else exact
    found = torch.tensor(best(ScreenedSearch(given, opposite), residual))
    reached = rated.gather(1, found[:, None])[:, 0]
    rounding = 1e-6 * residual.double().norm(dim=1) * given.double().norm(dim=1).max()
    assert (reached >= rated.amax(dim=1) - rounding).all()


def test_the_error_of_a_rough_score_is_within_its_bound():
    texts = torch.zeros(300, 64)
    # Halfway between two numbers of bfloat16, all rounded to the same side. The longest text scales nothing.
    texts[:299] = (1 + 2.0**-8) / 16 * torch.randint(0, 2, (299, 64))
    texts[0], texts[299, 0] = (1 + 2.0**-8) / 16, 1.0
    search = ScreenedSearch(texts)
    exact = texts[:1].double() @ texts.double().T
    wrong = (search.scores(texts[:1])[:, :300].double() - exact).abs()
    bound = search._error(texts[:1])[:, None]
    assert (wrong <= bound + 2.0**-8 * exact.abs()).all()
    assert wrong.max() > bound / 3  # the case is one that tries it


def test_only_few_texts_are_scored_exactly(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Search, "best", lambda *_: pytest.fail("all texts are scored"))
    texts, residual = pool(5000, 512), torch.randn(20, 512)
    assert best(ScreenedSearch(texts), residual) == (residual @ texts.T).abs().max(1)[1].tolist()


def test_equal_texts_are_all_scored_where_they_are_many():
    texts = pool(3, 16).repeat_interleave(2000, dim=0)
    residual = torch.randn(20, 16)
    found = best(ScreenedSearch(texts), residual)
    assert found == (residual @ texts.T).abs().max(1)[1].tolist()
    assert {index % 2000 for index in found} == {0}


@SEARCHES
def test_without_neurons_nothing_is_found(kind: type[Search]):
    assert best(kind(pool(5000)), torch.zeros(0, 64)) == []


def test_neurons_that_do_not_grow_cost_no_exact_scores(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Search, "best", lambda *_: pytest.fail("all texts are scored"))
    texts = pool(5000, 512)
    residual = torch.zeros(20, 512)
    residual[4] = texts[77]
    growing = torch.arange(20) == 4
    taken = torch.zeros(20, 0, dtype=torch.long)
    assert ScreenedSearch(texts).best(residual, taken, growing).text[4] == 77


@pytest.mark.parametrize(
    ("able", "kind"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, ScreenedSearch),
        ({"avx512_bf16": False, "amx_bf16": True}, ScreenedSearch),
        ({"avx512_bf16": False, "amx_bf16": False}, Search),
        ({"architecture": "aarch64"}, Search),
    ],
)
def test_pools_are_screened_where_that_is_faster(
    able: dict[str, Any], kind: type[Search], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert type(searched(torch.zeros(5000, 8))) is kind
    assert type(searched(torch.zeros(5000, 8, dtype=torch.float64))) is Search
    assert type(searched(torch.zeros(100, 8))) is Search
    assert type(searched(torch.zeros(5000, 8, device="meta"))) is Search


@pytest.mark.parametrize("cone", [0.0, 0.8])
def test_descriptions_are_the_same_on_every_processor(cone: float, monkeypatch: pytest.MonkeyPatch):
    texts, directions = pool(5000, 64, cone), torch.randn(40, 64)
    found = {}
    for kind in (Search, ScreenedSearch):
        monkeypatch.setattr(pursuits, "searched", kind)
        signed = solutions(directions, texts, [4, 20])
        positive = solutions(directions, texts, [12], nonnegative=True)
        found[kind] = pursuit(directions, texts, 20), *signed, *positive
    for one, other in zip(*found.values(), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
