"""The one direction r_n^l per neuron: the first principal component of its top effects (Sec. 3.3).

Effects are centred by the mean over D and not centred again. With coefficients c [top, path], only an eigenproblem
of size path has to be solved, and only for its largest eigenvalue. Where the paths and the remainders' coordinates
outnumber the top effects by far, as in early layers of large models, one of size top is cheaper: `is_by_effects`
chooses.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

MANY_ROWS = 128
"""Paths and coordinates up to which directions are always found in coefficient space, bit for bit as they ever were."""


@dataclass(frozen=True)
class Directions:
    """First principal directions of top effects.

    vectors: r_n, unit norm; zeros for a neuron without any effect.
    explained_variance: share of the top effects' squared norm that lies along r_n (Table 1's second column).
    projections: x_n of the top images, 0 in unused places; at least as many are positive as negative.
    """

    vectors: Float[Tensor, "neuron embed"]
    explained_variance: Float[Tensor, "neuron"]
    projections: Float[Tensor, "neuron top"]


def first_directions(
    coefficients: Float[Tensor, "neuron top path"],
    basis: Float[Tensor, "neuron path embed"],
    remainders: Float[Tensor, "neuron top coordinate"],
    remainder_basis: Float[Tensor, "coordinate embed"],
) -> Directions:
    """The first principal direction of each neuron's effects c u + k Q, without forming them.

    With rows [c, k] and the factor L L^T of the Gram matrix of [u; Q] (Q is orthonormal), the right singular
    vectors of the effects are those of rows L, whose Gram matrix has the size of path + coordinate. Only its
    dominant eigenvector is computed. The sign makes more than half of the rows' projections positive, as in the
    authors' code; a tie is decided by their sum, since the solver's own sign is arbitrary.
    """
    rows = torch.cat([coefficients, remainders], dim=-1).double()
    gram = _gram(basis, remainder_basis)
    factor = _factor(gram)
    scatter = factor.mT @ (rows.mT @ rows) @ factor
    largest, vectors = dominant(scatter)
    total = scatter.diagonal(dim1=1, dim2=2).sum(1)
    combination = (rows.mT @ (rows @ (factor @ vectors[..., None])))[..., 0]
    lengths = _length(combination, gram)
    projections = (rows @ (gram @ combination[..., None]))[..., 0] / lengths
    scale = _signs(projections) / lengths * (total > 0)[:, None]
    combination = (combination * scale).to(basis)
    paths = basis.shape[1]
    vectors = (combination[:, None, :paths] @ basis)[:, 0] + combination[
        :, paths:
    ] @ remainder_basis
    explained = torch.where(total > 0, largest / total.clamp(min=_TINY), 0.0)
    return Directions(vectors, explained, projections * scale.sign())


def is_by_effects(paths: int, coordinates: int, top: int, embed: int) -> bool:
    """Whether `directions_of_effects` is the cheaper way to a layer's directions; sizes alone decide.

    Multiply-adds per neuron, those in float32 counted half: with R = paths + coordinates, 6 R^3 for factoring, the
    products and the powers of an R x R matrix and top R^2 for the rows' own; against top R embed / 2 for the effects,
    top^2 embed for their products and 4 top^3 for the powers. Never for fewer than `MANY_ROWS` rows, where either
    takes a few milliseconds and results stay as they are.
    """
    rows = paths + coordinates
    in_coefficients = rows**2 * (6 * rows + top)
    of_effects = top * (rows * embed / 2 + top * embed + 4 * top**2)
    return rows >= MANY_ROWS and of_effects < in_coefficients


def directions_of_effects(effects: Float[Tensor, "neuron top embed"]) -> Directions:
    """As `first_directions`, from centred effects that are materialised: an eigenproblem of size top, in float64.

    The dominant left singular vector of the effects weighs them to the direction; the sign is chosen alike.
    """
    wide = effects.double()
    largest, weights = dominant(wide @ wide.mT)
    total = wide.square().sum((1, 2))
    combination = (weights[:, None] @ wide)[:, 0]
    lengths = combination.norm(dim=1, keepdim=True).clamp(min=_TINY)
    projections = (wide @ combination[..., None])[..., 0] / lengths
    scale = _signs(projections) / lengths * (total > 0)[:, None]
    explained = torch.where(total > 0, largest / total.clamp(min=_TINY), 0.0)
    vectors = (combination * scale).to(effects)
    return Directions(vectors, explained, projections * scale.sign())


def own_norms(
    coefficients: Float[Tensor, "neuron top path"], basis: Float[Tensor, "neuron path embed"]
) -> Float[Tensor, "neuron top"]:
    """|c u|: the effects without the remainder, in which all neurons of a layer have the same share."""
    squares = ((coefficients @ (basis @ basis.mT)) * coefficients).sum(2)
    return squares.clamp(min=0).sqrt()


def principal_directions(
    effects: Float[Tensor, "neuron image embed"], top: int
) -> tuple[Float[Tensor, "neuron embed"], Directions]:
    """The mean of materialised effects, and the first principal directions of the `top` that are furthest from it.

    For effects that do not factorise, such as indirect ones; selection and centring are those of Sec. 3.3.
    """
    mean = effects.mean(1)
    centred = effects - mean[:, None]
    chosen = centred.norm(dim=2).topk(min(top, effects.shape[1]), dim=1).indices
    rows = centred.gather(1, chosen[..., None].expand(-1, -1, effects.shape[2]))
    basis = torch.eye(effects.shape[2]).to(effects).expand(len(effects), -1, -1)
    nothing = effects.new_zeros(*chosen.shape, 0), effects.new_zeros(0, effects.shape[2])
    return mean, first_directions(rows, basis, *nothing)


_TINY = torch.finfo(torch.float64).tiny


def _signs(projections: Float[Tensor, "neuron top"]) -> Float[Tensor, "neuron 1"]:
    """The signs that make more than half of each neuron's projections positive; a tie is decided by their sum."""
    majority = projections.sign().sum(1)
    votes = torch.where(majority == 0, projections.sum(1), majority)
    return torch.where(votes < 0, -1.0, 1.0)[:, None]


def _gram(
    basis: Float[Tensor, "neuron path embed"], remainder_basis: Float[Tensor, "coordinate embed"]
) -> Float[Tensor, "neuron row row"]:
    """The Gram matrix of [u; Q], of which only the blocks with u have to be computed."""
    paths, rows = basis.shape[1], basis.shape[1] + len(remainder_basis)
    gram = torch.eye(rows, dtype=torch.float64, device=basis.device).repeat(len(basis), 1, 1)
    gram[:, :paths, :paths] = basis @ basis.mT
    cross = basis @ remainder_basis.mT
    gram[:, :paths, paths:], gram[:, paths:, :paths] = cross, cross.mT
    return gram


def _factor(gram: Float[Tensor, "neuron row row"]) -> Float[Tensor, "neuron row row"]:
    """L with L L^T = gram; a singular matrix gets its symmetric square root."""
    factor: Tensor
    factor, failed = torch.linalg.cholesky_ex(gram)
    if bool(failed.any()):
        sizes, axes = torch.linalg.eigh(gram[failed > 0])
        factor[failed > 0] = (axes * sizes.clamp(min=0).sqrt()[:, None]) @ axes.mT
    return factor


def _length(
    combination: Float[Tensor, "neuron row"], gram: Float[Tensor, "neuron row row"]
) -> Float[Tensor, "neuron 1"]:
    squares = (combination[:, None] @ gram @ combination[..., None])[..., 0]
    return squares.clamp(min=_TINY).sqrt()


def dominant(
    matrices: Float[Tensor, "matrix row row"], tolerance: float = 1e-8
) -> tuple[Float[Tensor, "matrix"], Float[Tensor, "matrix row"]]:
    """The largest eigenvalue of each positive semi-definite matrix and its unit eigenvector.

    Subspace iteration with the matrix's 16th power (four squarings) and a Rayleigh-Ritz step, all matrices at once;
    those whose residual is not below `tolerance` times the eigenvalue after a few steps are solved in full. That is
    three to ten times faster than solving all of them in full (benchmarks/directions.py).
    """
    scale = matrices.diagonal(dim1=1, dim2=2).sum(1).clamp(min=_TINY)[:, None, None]
    scaled = matrices / scale
    power = scaled
    for _ in range(4):
        power = power @ power
        power = power / power.diagonal(dim1=1, dim2=2).sum(1).clamp(min=_TINY)[:, None, None]
    generator = torch.Generator().manual_seed(0)
    block = torch.randn(matrices.shape[1], min(4, matrices.shape[1]), generator=generator)
    block = block.to(matrices).expand(len(matrices), -1, -1)
    for _ in range(4):
        block = torch.linalg.qr(power @ block).Q
        values, vectors, residuals = _rayleigh_ritz(scaled, block)
        if bool((residuals <= tolerance * values).all()):
            break
    left = residuals > tolerance * values
    if bool(left.any()):
        all_values, all_vectors = torch.linalg.eigh(scaled[left])
        values[left], vectors[left] = all_values[:, -1], all_vectors[..., -1]
    largest: Tensor = values.clamp(min=0) * scale[:, 0, 0]
    return largest, vectors


def _rayleigh_ritz(
    matrices: Float[Tensor, "matrix row row"], block: Float[Tensor, "matrix row column"]
) -> tuple[Float[Tensor, "matrix"], Float[Tensor, "matrix row"], Float[Tensor, "matrix"]]:
    """The best eigenpair within the block's span, and the norm of its residual."""
    images = matrices @ block
    values, inner = torch.linalg.eigh(block.mT @ images)
    vectors = (block @ inner[..., -1:])[..., 0]
    residuals = (images @ inner[..., -1:])[..., 0] - values[:, -1:] * vectors
    return values[:, -1].clone(), vectors, residuals.norm(dim=1)
