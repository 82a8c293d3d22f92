import warnings
from inspect import unwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import orthogonal_mp
from torch import Tensor
from torch.nn.functional import normalize

from clipneuron.lens.pursuit import STOPPED, prefix_weights, prepare, pursuit, reconstruction

unchecked_pursuit, unchecked_prepare = unwrap(pursuit), unwrap(prepare)
"""Without the tests' own type checks, which would refuse bad input before the library can."""


def problem(
    neurons: int = 6, texts: int = 40, embed: int = 16, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Random directions and a random pool of unit texts."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(neurons, embed, generator=generator, dtype=torch.float64)
    pool = torch.randn(texts, embed, generator=generator, dtype=torch.float64)
    return directions, normalize(pool, dim=1)


def dense(indices: Tensor, weights: Tensor, texts: int) -> Tensor:
    """The description as scikit-learn returns it: a weight for every text [neuron, text]."""
    coefficients = torch.zeros(len(indices), texts, dtype=weights.dtype)
    return coefficients.scatter_add(1, indices.clamp(min=0), weights)


def sklearn_weights(directions: Tensor, texts: Tensor, atoms: int) -> Tensor:
    coefficients = orthogonal_mp(texts.T.numpy(), directions.T.numpy(), n_nonzero_coefs=atoms)
    return torch.from_numpy(coefficients.reshape(len(texts), len(directions)).T.copy())


@settings(max_examples=60)
@given(
    neurons=st.integers(1, 5),
    texts=st.integers(2, 60),
    embed=st.integers(2, 24),
    share=st.floats(0.0, 1.0),
    scale=st.sampled_from([1.0, 13.0]),
    seed=st.integers(0, 2**31),
)
def test_same_descriptions_as_scikit_learn(
    neurons: int, texts: int, embed: int, share: float, scale: float, seed: int
):
    directions, pool = problem(neurons, texts, embed, seed)
    pool = scale * pool * (1 + torch.rand(texts, 1, dtype=torch.float64))
    atoms = max(1, round(share * min(texts, embed)))
    indices, weights, _ = pursuit(directions, pool, atoms)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        expected = sklearn_weights(directions, pool, atoms)
    found = dense(indices, weights, texts)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    assert torch.equal(found != 0, expected != 0)


def test_weights_are_the_least_squares_fit_on_the_support():
    directions, texts = problem()
    indices, weights, _ = pursuit(directions, texts, 7)
    for direction, chosen, weight in zip(directions, indices, weights, strict=True):
        expected = torch.linalg.lstsq(texts[chosen].T, direction[:, None]).solution[:, 0]
        torch.testing.assert_close(weight, expected, rtol=1e-10, atol=1e-12)


def test_residuals_are_what_the_refitted_prefixes_leave():
    directions, texts = problem()
    indices, _, residuals = pursuit(directions, texts, 9)
    prefixes = prefix_weights(directions, texts, indices, range(1, 10))
    for place, weights in enumerate(prefixes):
        left = directions - reconstruction(texts, indices, weights)
        torch.testing.assert_close(left.norm(dim=1), residuals[:, place])
    assert (residuals.diff(dim=1) <= 0).all()


def test_an_exact_sum_of_texts_is_recovered():
    texts = torch.linalg.qr(torch.randn(12, 12, dtype=torch.float64)).Q
    directions = torch.stack([3 * texts[4] - 2 * texts[9] + texts[0], texts[7]])
    indices, weights, residuals = pursuit(directions, texts, 5)
    assert indices.tolist() == [[4, 9, 0, -1, -1], [7, -1, -1, -1, -1]]
    expected = torch.tensor([[3, -2, 1, 0, 0], [1, 0, 0, 0, 0]], dtype=torch.float64)
    torch.testing.assert_close(weights, expected, rtol=0, atol=1e-12)
    assert residuals[0, 2:].max() < 1e-12
    assert torch.equal(residuals[0, 2:], residuals[0, 2].expand(3))


def test_pursuit_ends_where_nothing_correlates_any_more():
    texts = torch.eye(4, dtype=torch.float64)[:3]
    direction = torch.tensor([[1.0, 0.0, 0.0, 5.0]], dtype=torch.float64)
    indices, weights, residuals = pursuit(direction, texts, 3)
    assert indices.tolist() == [[0, STOPPED, STOPPED]]
    assert weights.tolist() == [[1.0, 0.0, 0.0]]
    assert residuals.tolist() == [[5.0, 5.0, 5.0]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_pool_of_low_rank_is_used_up_and_left(dtype: torch.dtype):
    directions, texts = problem(neurons=8, texts=30, embed=16)
    low = (texts[:, :3] @ torch.randn(3, 16, dtype=torch.float64)).to(dtype)
    directions = directions.to(dtype)
    indices, weights, residuals = pursuit(directions, low, 10)
    assert (indices[:, :3] != STOPPED).all()
    assert (indices[:, 3:] == STOPPED).all()
    assert (weights[:, 3:] == 0).all()
    inside = directions @ torch.linalg.pinv(low) @ low
    left = (directions - inside).norm(dim=1)
    torch.testing.assert_close(residuals[:, -1], left, rtol=1e-4, atol=1e-5)


def test_copies_of_a_text_are_chosen_once():
    directions, texts = problem(texts=20)
    indices, _, _ = pursuit(directions, texts.repeat(3, 1), 12)
    for chosen in indices:
        assert len(set((chosen % 20).tolist())) == 12
    same, _, _ = pursuit(directions, texts, 12)
    assert torch.equal(indices % 20, same)


def test_a_text_of_norm_zero_is_never_chosen():
    directions, texts = problem(texts=10)
    texts[3] = 0
    indices, weights, _ = pursuit(directions, texts, 10)
    assert not (indices == 3).any()
    assert weights.isfinite().all()


def test_a_direction_of_norm_zero_needs_no_text():
    _, texts = problem()
    indices, weights, residuals = pursuit(torch.zeros(2, 16, dtype=torch.float64), texts, 3)
    assert (indices == STOPPED).all()
    assert not weights.any()
    assert not residuals.any()


def test_no_directions_no_descriptions():
    _, texts = problem()
    indices, weights, residuals = pursuit(texts[:0], texts, 3)
    assert indices.shape == weights.shape == residuals.shape == (0, 3)


def test_shorter_runs_are_prefixes_of_longer_ones():
    directions, texts = problem()
    longest = pursuit(directions, texts, 12)
    prefixes = prefix_weights(directions, texts, longest.indices, [1, 5, 12])
    for atoms, weights in zip([1, 5, 12], prefixes, strict=True):
        shorter = pursuit(directions, texts, atoms)
        assert torch.equal(shorter.indices, longest.indices[:, :atoms])
        torch.testing.assert_close(shorter.weights, weights[:, :atoms])
        torch.testing.assert_close(shorter.residuals, longest.residuals[:, :atoms])
        assert not weights[:, atoms:].any()


def test_prefixes_of_a_pursuit_that_ended_early():
    texts = torch.eye(4, dtype=torch.float64)
    directions = torch.tensor([[0.0, 2.0, 0.0, 0.0], [4.0, 3.0, 2.0, 1.0]], dtype=torch.float64)
    indices, weights, _ = pursuit(directions, texts, 4)
    prefixes = prefix_weights(directions, texts, indices, [2, 4])
    torch.testing.assert_close(prefixes[1], weights)
    expected = torch.tensor([[2, 0, 0, 0], [4, 3, 0, 0]], dtype=torch.float64)
    torch.testing.assert_close(prefixes[0], expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_neuron_alone_is_described_as_in_a_block(dtype: torch.dtype):
    directions, texts = (part.to(dtype) for part in problem(neurons=7, texts=200, embed=32))
    together = pursuit(directions, texts, 8)
    for block in (1, 3):
        parts = pursuit(directions, texts, 8, block=block)
        assert torch.equal(parts.indices, together.indices)
        torch.testing.assert_close(parts.weights, together.weights)
        again = prefix_weights(directions, texts, parts.indices, [8], block=block)[0]
        torch.testing.assert_close(again, together.weights)


def test_a_neuron_that_ends_early_does_not_disturb_its_block():
    directions, texts = problem()
    mixed = torch.cat([texts[5:6], directions, torch.zeros(1, 16, dtype=torch.float64)])
    alone, together = pursuit(directions, texts, 6), pursuit(mixed, texts, 6)
    assert together.indices[0].tolist() == [5, -1, -1, -1, -1, -1]
    for one, many in zip(alone, together, strict=True):
        torch.testing.assert_close(one, many[1:-1])


def test_scaling_a_direction_scales_its_weights():
    directions, texts = problem()
    indices, weights, _ = pursuit(1e-30 * directions, texts, 6)
    expected = pursuit(directions, texts, 6)
    assert torch.equal(indices, expected.indices)
    torch.testing.assert_close(1e30 * weights, expected.weights)


def test_inputs_stay_as_they_were():
    directions, texts = problem()
    copies = directions.clone(), texts.clone()
    pursuit(directions, texts, 4)
    assert torch.equal(directions, copies[0])
    assert torch.equal(texts, copies[1])


def test_prepared_pools():
    _, texts = problem()
    texts = 5 * texts + torch.arange(16)
    unit = texts / texts.norm(dim=1, keepdim=True)
    centered = unit - unit.mean(dim=0)
    torch.testing.assert_close(prepare(texts), unit)
    expected = centered / centered.norm(dim=1, keepdim=True)
    torch.testing.assert_close(prepare(texts, "centered"), expected)
    expected = 100 * centered / centered.norm(dim=0)
    torch.testing.assert_close(prepare(texts, "authors"), expected)
    with pytest.raises(ValueError, match="choose one of unit, centered, authors"):
        unchecked_prepare(texts, "whitened")


@pytest.mark.parametrize("atoms", [0, -1, 17, 41])
def test_impossible_numbers_of_atoms_are_refused(atoms: int):
    directions, texts = problem()
    with pytest.raises(ValueError, match=f"atoms is {atoms}; expected 1 to 16"):
        pursuit(directions, texts, atoms)


def test_inputs_that_cannot_be_described_are_refused():
    directions, texts = problem()
    with pytest.raises(ValueError, match="pool of texts is empty"):
        unchecked_pursuit(directions, texts[:0], 1)
    with pytest.raises(ValueError, match="16 dimensions and the texts 15"):
        unchecked_pursuit(directions, texts[:, :15], 1)
    with pytest.raises(ValueError, match=r"float64 and the texts torch\.float32"):
        unchecked_pursuit(directions, texts.float(), 1)
    with pytest.raises(ValueError, match="convert them to float32"):
        unchecked_pursuit(directions.half(), texts.half(), 1)
    with pytest.raises(ValueError, match="one embedding per row"):
        unchecked_pursuit(directions[0], texts, 1)
    with pytest.raises(ValueError, match="block is 0"):
        unchecked_pursuit(directions, texts, 1, block=0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_not_numbers_are_refused(bad: float):
    directions, texts = problem()
    texts[[3, 9], 2] = bad
    with pytest.raises(ValueError, match=r"2 of the texts have NaN .* first in row 3"):
        pursuit(directions, texts, 1)
    with pytest.raises(ValueError, match="2 of the texts have NaN"):
        prepare(texts)
    directions[5, 0] = bad
    with pytest.raises(ValueError, match=r"1 of the directions have NaN .* row 5"):
        pursuit(directions, texts.nan_to_num(0, 0, 0), 1)


@pytest.mark.parametrize("prefixes", [[], [0, 2], [5]])
def test_impossible_prefixes_are_refused(prefixes: list[int]):
    directions, texts = problem()
    indices = pursuit(directions, texts, 4).indices
    with pytest.raises(ValueError, match="each from 1 to 4"):
        prefix_weights(directions, texts, indices, prefixes)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_same_descriptions_as_the_authors(parity: Path, layer: int):
    """Theirs are float32 with a Gram matrix, so neurons where a choice is nearly a tie may differ."""
    stored, margins = np.load(parity / "omp.npz"), np.load(parity / "omp_margins.npz")
    directions = torch.from_numpy(np.load(parity / "pca.npz")[f"pc_L{layer}_top16"]).double()
    texts = prepare(torch.from_numpy(stored["pool_x100"]).double(), "authors")
    indices, _, _ = pursuit(directions, texts, 16)
    for atoms, weights in zip(
        [4, 8, 16], prefix_weights(directions, texts, indices, [4, 8, 16]), strict=True
    ):
        expected = torch.from_numpy(stored[f"coef_L{layer}_m{atoms}"]).double()
        clear = torch.from_numpy(margins[f"gap_L{layer}_m{atoms}"] > 1e-5)
        assert clear.float().mean() > 0.95
        found = dense(indices, weights, len(texts))
        assert torch.equal((found != 0)[clear], (expected != 0)[clear])
        torch.testing.assert_close(found[clear], expected[clear], rtol=1e-4, atol=1e-6)
