"""First directions in coefficient space against numpy's SVD of materialised effects.

    python benchmarks/directions.py                       # layer 9 of ViT-B-32's shape, 3072 neurons, top 100
    python benchmarks/directions.py --split centered --neurons 512

Both get the same centred top effects of a random-weight model on random pictures: ours as coefficients, numpy's as
the [neuron, top, embed] array, whose construction is timed separately. Ratios are per neuron in one process; directions
are compared where the first singular value is clear of the second (ratio below 0.98).
"""

import argparse
import time

import numpy as np
import open_clip
import torch
from machine import describe

from clipneuron import SecondOrderLens, load_clip
from clipneuron.lens.directions import first_directions
from clipneuron.lens.summaries import Moments


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--layer", type=int, default=9)
    parser.add_argument("--split", choices=("equal", "centered"), default="equal")
    parser.add_argument("--top", type=int, default=100)
    parser.add_argument("--neurons", type=int, default=3072, help="how many to compare")
    parser.add_argument("--block", type=int, default=256, help="neurons per block, as in a run")
    arguments = parser.parse_args()
    clip = load_clip(open_clip.create_model("ViT-B-32", pretrained=None))
    lens = SecondOrderLens(clip, arguments.layer, split=arguments.split)
    print(describe())
    with torch.inference_mode():
        coefficients, remainders, axes = centred(clip, lens, arguments.top)
        ours = theirs = making = 0.0
        cosines = []
        for start in range(0, arguments.neurons, arguments.block):
            neurons = slice(start, min(start + arguments.block, arguments.neurons))
            begun = time.perf_counter()
            basis = lens.basis(neurons)
            mine = coefficients[:, neurons].transpose(0, 1)
            shared = remainders.expand(neurons.stop - start, -1, -1)
            found = first_directions(mine, basis, shared, axes)
            ours += time.perf_counter() - begun
            begun = time.perf_counter()
            effects = (mine @ basis + shared @ axes).numpy()
            making += time.perf_counter() - begun
            begun = time.perf_counter()
            svd = [np.linalg.svd(own, full_matrices=False) for own in effects]
            theirs += time.perf_counter() - begun
            clear = np.array([sizes[1] < 0.98 * sizes[0] for _, sizes, _ in svd])
            right = np.stack([vectors[0] for *_, vectors in svd])
            cosines.append(np.abs((found.vectors.numpy() * right).sum(1))[clear])
    cosine = np.concatenate(cosines)
    print(
        f"layer {arguments.layer}, split {arguments.split}, top {arguments.top}, {arguments.neurons} neurons"
    )
    print(
        f"coefficient space          {ours:8.2f} s  {ours / arguments.neurons * 1e3:7.3f} ms/neuron"
    )
    print(
        f"numpy SVD of the effects   {theirs:8.2f} s  {theirs / arguments.neurons * 1e3:7.3f} ms/neuron"
    )
    print(f"(making those effects      {making:8.2f} s)")
    print(f"ratio                      {theirs / ours:8.1f} x")
    print(
        f"largest 1 - |cosine|       {1 - cosine.min():8.1e}   ({len(cosine)} neurons with a clear first direction)"
    )


def centred(
    clip, lens: SecondOrderLens, images: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Centred coefficients [image, neuron, path] of random pictures, their remainders [image, axis] and the axes.

    The remainders are along their principal axes [axis, embed], as in a run.
    """
    generator = torch.Generator().manual_seed(0)
    found = []
    for _ in range(0, images, 20):
        pixels = torch.randn(20, 3, *clip.image_size, generator=generator)
        trace = clip.trace(pixels, (lens.layer,))
        found.append((lens.coefficients(trace), lens.remainders(trace)))
    coefficients, remainders = (torch.cat(parts)[:images] for parts in zip(*found, strict=True))
    axes = Moments.of(coefficients, remainders).axes.to(remainders)
    remainders = (remainders - remainders.mean(0)) @ axes
    return coefficients - coefficients.mean(0), remainders, axes.mT @ lens.remainder_basis


if __name__ == "__main__":
    main()
