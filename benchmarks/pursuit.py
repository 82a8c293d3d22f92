"""Matching pursuit against scikit-learn's: time per neuron, and whether both choose the same texts.

    python benchmarks/pursuit.py                              # 64 neurons, 30,000 texts x 512, 128 atoms
    python benchmarks/pursuit.py --neurons 512 --sklearn 4 --cone 0.8
    python benchmarks/pursuit.py --threads 1                  # on a machine that others use too

Both run in this process with as many threads as PyTorch uses, in turn: a few neurons by scikit-learn,
then all of them by ours, in every repeat. scikit-learn gets the pool in its preferred layout (one text
per column, Fortran order). It processes one neuron at a time internally, so a few neurons are enough to
measure its time per neuron; `--sklearn` sets how many.
"""

import argparse
import statistics
import time

import numpy as np
import torch
from machine import describe
from sklearn.linear_model import orthogonal_mp
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.nn.functional import normalize

from clipneuron.lens.pursuit import Pursuit, prepare, pursuit

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
    compare(directions, texts, arguments)


def problem(arguments: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """Random directions and texts around a common centre, like those of CLIP."""
    torch.manual_seed(0)
    dtype = getattr(torch, arguments.dtype)
    centre = normalize(torch.randn(1, arguments.embed), dim=1)
    own = normalize(torch.randn(arguments.texts, arguments.embed), dim=1)
    texts = arguments.cone**0.5 * centre + (1 - arguments.cone) ** 0.5 * own
    directions = normalize(torch.randn(arguments.neurons, arguments.embed), dim=1)
    return (SCALE * directions).to(dtype), prepare(texts.to(dtype))


def compare(directions: Tensor, texts: Tensor, arguments: argparse.Namespace) -> None:
    """Time both in turn and print the table."""
    few = directions[: arguments.sklearn]
    columns = np.asfortranarray(texts.T.numpy())
    pursuit(few, texts, 2)
    ours, theirs, ratios = [], [], []
    for _ in range(arguments.repeats):
        begun = time.perf_counter()
        with threadpool_limits(torch.get_num_threads()):
            expected = orthogonal_mp(columns, few.T.numpy(), n_nonzero_coefs=arguments.atoms)
        theirs.append((time.perf_counter() - begun) / len(few))
        begun = time.perf_counter()
        found = pursuit(directions, texts, arguments.atoms, block=arguments.block)
        ours.append((time.perf_counter() - begun) / len(directions))
        ratios.append(theirs[-1] / ours[-1])
    print(f"{'clipneuron':28}{statistics.median(ours) * 1e3:9.2f} ms/neuron")
    print(f"{'scikit-learn orthogonal_mp':28}{statistics.median(theirs) * 1e3:9.2f} ms/neuron")
    print(f"{'ratio':28}{statistics.median(ratios):9.1f} x   ({spread(ratios)})")
    report_agreement(found, np.atleast_2d(expected.T), directions)


def spread(ratios: list[float]) -> str:
    """The smallest and the largest of the repeats."""
    return f"{min(ratios):.1f} to {max(ratios):.1f} over {len(ratios)} repeats"


def report_agreement(found: Pursuit, expected: np.ndarray, directions: Tensor) -> None:
    """Print for how many neurons both chose the same texts, and how far their weights differ there."""
    same, difference = 0, 0.0
    for place, weights in enumerate(expected):
        order = found.indices[place].numpy()
        if set(order[order >= 0]) == set(np.flatnonzero(weights)):
            same += 1
            own = found.weights[place].numpy()
            difference = max(difference, np.abs(own - weights[order]).max() / np.abs(own).max())
    print(f"same supports: {same} of {len(expected)} neurons")
    print(f"largest difference of their weights, relative to the largest weight: {difference:.1e}")
    left = found.residuals[:, -1] / directions.norm(dim=1)
    print(f"residual after the last atom: {float(left.mean()):.3f} of the direction")


if __name__ == "__main__":
    main()
