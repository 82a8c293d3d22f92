"""Second-order effects by materialising them, as published programs do, against the lens's norms.

    python benchmarks/literal_effects.py                  # layer 9 of ViT-B-32's shape, one image
    python benchmarks/literal_effects.py --layer 8 --batch 8 --repeats 3

The literal version is organised like the authors' code: one image at a time, and for each (later layer, head)
everything is recomputed for every neuron: what it writes to each token, its share of ln_1, its values, what
every token reads of them, and the class token's part of that on its way to the output. The lens gets the same
trace and returns the norms of the same effects. Both run in this process on PyTorch's own threads, in turn in
every repeat; reported are medians. Expect the literal version to take about a minute and 3 GiB. "With forward
pass" adds the capture of the trace to both.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable

import open_clip
import torch
from machine import describe
from torch import Tensor

from clipneuron import Clip, SecondOrderLens, load_clip
from clipneuron.lens.trace import BlockWeights, TowerWeights, Trace


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", default="ViT-B-32", help="an open_clip architecture")
    parser.add_argument("--layer", type=int, default=9)
    parser.add_argument("--batch", type=int, default=32, help="images at a time for the lens")
    parser.add_argument("--repeats", type=int, default=1, help="timed repeats")
    arguments = parser.parse_args()
    clip, layer = random_clip(arguments.model), arguments.layer
    pixels = torch.randn(arguments.batch, 3, *size_of(clip))
    print(describe())
    print(f"{arguments.model}, layer {layer}, split equal, normalised, float32")
    with torch.inference_mode():
        compare(clip, layer, pixels, arguments.repeats)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory of this process: {peak:.1f} GiB")


def compare(clip: Clip, layer: int, pixels: Tensor, repeats: int) -> None:
    """Time both ways and print the table."""
    lens = SecondOrderLens(clip, layer, split="equal", normalize=True)
    setup, _ = seconds(lambda: lens.products)
    trace, one = clip.trace(pixels, (layer,)), clip.trace(pixels[:1], (layer,))
    lens.norms(trace)
    captures, fast, slow = [], [], []
    for _ in range(repeats):
        captures.append(seconds(lambda: clip.trace(pixels, (layer,)))[0] / len(pixels))
        spent, norms = seconds(lambda: lens.norms(trace))
        fast.append(spent / len(pixels))
        spent, effects = seconds(lambda: materialised(clip.weights, one, layer))
        slow.append(spent)
    expected = effects.norm(dim=-1)
    error = float(((norms[:1] - expected).abs() / expected).max())
    capture, ours, theirs = (statistics.median(times) for times in (captures, fast, slow))
    print(f"{'':26}{'seconds/image':>14}{'with forward pass':>19}")
    print(f"{'literal, batch 1':26}{theirs:14.4f}{theirs + capture:19.4f}")
    print(f"{f'lens, batch {len(pixels)}':26}{ours:14.6f}{ours + capture:19.6f}")
    print(f"{'ratio':26}{theirs / ours:13.0f}x{(theirs + capture) / (ours + capture):18.0f}x")
    print(f"once per model, Gram matrices: {setup:.2f} s")
    print(f"largest relative difference of norms: {error:.1e} (agree to 1e-4: {error < 1e-4})")


def materialised(weights: TowerWeights, trace: Trace, layer: int) -> Tensor:
    """phi_n(I) / |M_image(I)| of one image, [1, neuron, embed], by Eq. 11 with equal shares."""
    total = torch.zeros(1, weights.neurons, weights.embed)
    for later in range(layer + 1, weights.layers):
        for head in range(weights.heads):
            messages = neuron_messages(weights.blocks[layer], trace.activations[layer])
            normed = ln_1_shares(weights, trace, later, messages)
            del messages
            written = read_by_head(weights, trace, later, head, normed)
            total += to_output(weights, trace, later, written)
    return total / trace.embeddings.norm(dim=-1)[:, None, None]


def neuron_messages(block: BlockWeights, activations: Tensor) -> Tensor:
    """What each neuron writes to each token [image, token, neuron, width]."""
    messages = activations[..., None] * block.neuron_writes
    return messages.add_(block.neuron_bias / len(block.neuron_writes))


def ln_1_shares(weights: TowerWeights, trace: Trace, later: int, messages: Tensor) -> Tensor:
    """Each neuron's share of the later block's ln_1 [image, token, neuron, width]."""
    block, shares = weights.blocks[later], (1 + 2 * later) * weights.neurons
    mean, sigma = (part[..., None, None] for part in statistics_of(trace, later))
    normed = block.ln_1_gamma * (messages - mean / shares) / sigma
    return normed + block.ln_1_beta / shares


def statistics_of(trace: Trace, later: int) -> tuple[Tensor, Tensor]:
    """ln_1's mean and sigma [image, token]."""
    return trace.ln_1[later].mean, trace.ln_1[later].sigma


def read_by_head(
    weights: TowerWeights, trace: Trace, later: int, head: int, normed: Tensor
) -> Tensor:
    """What the head writes for every token of what each neuron sent [image, token, neuron, width].

    A trace has only the class token's attention. It stands in for the other tokens' too: they are
    computed at the same cost and thrown away, as in the program that this follows.
    """
    block, shares = weights.blocks[later], (1 + 2 * later) * weights.neurons
    values = torch.einsum("itnw,cw->itnc", normed, block.value[head])
    values += block.value_bias[head] / shares
    row = trace.attention[later][:, head]
    maps = row[:, None].expand(-1, row.shape[1], -1)
    mixed = torch.einsum("iqt,itnc->iqnc", maps, values)
    written = torch.einsum("iqnc,cw->iqnw", mixed, block.output[head])
    return written.add_(block.output_bias / (shares * weights.heads))


def to_output(weights: TowerWeights, trace: Trace, later: int, written: Tensor) -> Tensor:
    """The class token's part of it, through its share of ln_post and P [image, neuron, embed]."""
    shares = (1 + 2 * later) * (1 + 2 * weights.layers) * weights.heads * weights.neurons
    mean, sigma = trace.ln_post.mean[:, None, None], trace.ln_post.sigma[:, None, None]
    normed = weights.ln_post_gamma * (written[:, 0] - mean / shares) / sigma
    return (normed + weights.ln_post_beta / shares) @ weights.projection


def random_clip(model: str) -> Clip:
    """The architecture with random weights and, unlike at initialisation, random biases too."""
    torch.manual_seed(0)
    network = open_clip.create_model(model, pretrained=None)
    with torch.no_grad():
        for parameter in network.visual.parameters():
            if parameter.ndim == 1:
                parameter += 0.1 * torch.randn_like(parameter)
    return load_clip(network)


def size_of(clip: Clip) -> tuple[int, int]:
    """Height and width of the model's pictures."""
    size = clip.image_size
    return (size, size) if isinstance(size, int) else size


def seconds(work: Callable[[], object]) -> tuple[float, object]:
    """Wall time of one call, and what it returned."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


if __name__ == "__main__":
    main()
