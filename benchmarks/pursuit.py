"""Matching pursuit against scikit-learn's: time per neuron, and whether both choose the same texts.

    python benchmarks/pursuit.py                              # 64 neurons, 30,000 texts x 512, 128 atoms
    python benchmarks/pursuit.py --neurons 512 --sklearn 4 --cone 0.8
    python benchmarks/pursuit.py --threads 1                  # on a machine that others use too

Both run in this process with as many threads as PyTorch uses, in turn: a few neurons by scikit-learn,
then all of them by ours, in every repeat; times are core-seconds, reported are the least of the repeats.
scikit-learn gets the pool in its preferred layout (one text per column, Fortran order). It processes one
neuron at a time internally, so a few neurons are enough to measure its time per neuron; `--sklearn` sets
how many. Ours multiplies a block of neurons with the pool at each step, so its time per neuron depends on
how many there are: runs have 512. "products alone" are these multiplications and nothing else: the floor.
Where a processor multiplies bfloat16 faster, they are in bfloat16; "in the texts' own format" are the others.
"""

import argparse
import time
from dataclasses import dataclass

import numpy as np
import torch
from machine import describe
from sklearn.linear_model import orthogonal_mp
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.nn.functional import normalize

from clipneuron.lens.pursuit import Pursuit, prepare, pursuit
from clipneuron.lens.sparse.search import Search, searched

SCALE = 100.0
"""scikit-learn ends a pursuit when an atom's squared correlation with the *direction* is below eps, in
absolute terms: in float32 every other neuron. Long directions avoid this; ours does not need them."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--neurons", type=int, default=64)
    parser.add_argument("--texts", type=int, default=30_000)
    parser.add_argument("--embed", type=int, default=512)
    parser.add_argument("--atoms", type=int, default=128)
    parser.add_argument("--block", type=int, default=512, help="neurons at a time, ours")
    parser.add_argument("--cone", type=float, default=0.0, help="mean cosine between texts")
    parser.add_argument("--sklearn", type=int, default=8, help="neurons given to scikit-learn")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--threads", type=int, default=0, help="of both; 0: PyTorch's own choice")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads or torch.get_num_threads())
    directions, texts = problem(arguments)
    print(describe())
    print(
        f"{arguments.neurons} neurons, {arguments.texts} texts x {arguments.embed}, "
        f"{arguments.atoms} atoms, {arguments.dtype}, mean cosine of texts {arguments.cone}"
    )
    report(compared(directions, texts, arguments))


@dataclass(frozen=True)
class Compared:
    """Least core-seconds per neuron, and how well both agree."""

    ours: float
    products: float
    exact: float
    theirs: float
    same: int
    of: int
    difference: float
    residual: float


def problem(arguments: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """Random directions and texts around a common centre, like those of CLIP."""
    torch.manual_seed(0)
    dtype = getattr(torch, arguments.dtype)
    centre = normalize(torch.randn(1, arguments.embed), dim=1)
    own = normalize(torch.randn(arguments.texts, arguments.embed), dim=1)
    texts = arguments.cone**0.5 * centre + (1 - arguments.cone) ** 0.5 * own
    directions = normalize(torch.randn(arguments.neurons, arguments.embed), dim=1)
    return (SCALE * directions).to(dtype), prepare(texts.to(dtype))


def compared(directions: Tensor, texts: Tensor, arguments: argparse.Namespace) -> Compared:
    """All in turn, as often as asked."""
    few = directions[: arguments.sklearn]
    columns = np.asfortranarray(texts.T.numpy())
    pursuit(few, texts, 2)
    block = directions[: arguments.block]
    ours, products, exact, theirs = [], [], [], []
    for _ in range(arguments.repeats):
        begun = time.process_time()
        with threadpool_limits(torch.get_num_threads()):
            expected = orthogonal_mp(columns, few.T.numpy(), n_nonzero_coefs=arguments.atoms)
        theirs.append((time.process_time() - begun) / len(few))
        begun = time.process_time()
        found = pursuit(directions, texts, arguments.atoms, block=arguments.block)
        ours.append((time.process_time() - begun) / len(directions))
        products.append(multiplied(block, searched(texts)) * arguments.atoms)
        exact.append(multiplied(block, Search(texts)) * arguments.atoms)
    least = (min(times) for times in (ours, products, exact, theirs))
    return Compared(*least, *agreement(found, np.atleast_2d(expected.T), directions))


def multiplied(directions: Tensor, search: Search) -> float:
    """Core-seconds per neuron of the product of one step: the least of three."""
    times = []
    search.scores(directions)
    for _ in range(3):
        begun = time.process_time()
        search.scores(directions)
        times.append((time.process_time() - begun) / len(directions))
    return min(times)


def report(found: Compared) -> None:
    """Print the table."""
    rows = {
        "clipneuron": found.ours,
        "  of which products alone": found.products,
        "  in the texts' own format": found.exact,
        "scikit-learn orthogonal_mp": found.theirs,
    }
    for name, seconds in rows.items():
        print(f"{name:28}{seconds * 1e3:9.2f} core-ms/neuron")
    print(f"{'ratio':28}{found.theirs / found.ours:9.1f} x")
    print(f"{'  with products alone':28}{found.theirs / found.products:9.1f} x")
    print(f"same supports: {found.same} of {found.of} neurons")
    print(
        f"largest difference of their weights, relative to the largest weight: {found.difference:.1e}"
    )
    print(f"residual after the last atom: {found.residual:.3f} of the direction")


def agreement(
    found: Pursuit, expected: np.ndarray, directions: Tensor
) -> tuple[int, int, float, float]:
    """For how many of how many both chose the same texts, how far weights differ there, and our mean residual."""
    same, difference = 0, 0.0
    for place, weights in enumerate(expected):
        order = found.indices[place].numpy()
        if set(order[order >= 0]) == set(np.flatnonzero(weights)):
            same += 1
            own = found.weights[place].numpy()
            difference = max(difference, np.abs(own - weights[order]).max() / np.abs(own).max())
    left = found.residuals[:, -1] / directions.norm(dim=1)
    return same, len(expected), difference, float(left.mean())


if __name__ == "__main__":
    main()
