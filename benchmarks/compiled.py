"""What torch's compiler makes of forward passes and traces on this machine: ViT-B-32's shape, random weights.

    python benchmarks/compiled.py                            # batches of 32, all layers, float32, one thread
    python benchmarks/compiled.py --model ViT-L-14 --batch 4
    python benchmarks/compiled.py --activation gelu

In core-seconds, the least of several turns of all four, so that other work on the machine counts little; compiling is
in seconds of the clock, and quick where the compiler's own cache has the code. OpenAI's QuickGELU, x sigmoid(1.702 x),
is three passes over memory as it is written and one when compiled. Errors are of a compiled trace beside the usual one.
"""

import argparse
import time
from collections.abc import Callable

import open_clip
import torch
from machine import describe
from timing import least

from clipneuron import Clip, load_clip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", default="ViT-B-32", help="an open_clip architecture")
    parser.add_argument("--batch", type=int, default=32, help="pictures per pass")
    parser.add_argument("--activation", choices=("quick", "gelu"), default="quick")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5, help="timed turns, after one warm-up")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    quick = chosen.activation == "quick"
    clip = load_clip(open_clip.create_model(chosen.model, pretrained=None, force_quick_gelu=quick))
    pixels = torch.randn(chosen.batch, 3, *clip.image_size)
    print(f"{describe()}\n{chosen.model}, {chosen.activation} activation, batch {chosen.batch}\n")
    report(clip, pixels, chosen.repeats)


def report(clip: Clip, pixels: torch.Tensor, repeats: int) -> None:
    """Print the table, and what it costs to compile a trace."""
    compiled = clip.compiled()
    begun = time.monotonic()
    found, usual = compiled.trace(pixels), clip.trace(pixels)
    took = time.monotonic() - begun
    plain = torch.compile(clip.visual.forward)
    works: dict[str, Callable[[], object]] = {
        "forward": lambda: clip.visual(pixels),
        "forward, compiled": lambda: plain(pixels),
        "trace of all layers": lambda: clip.trace(pixels),
        "trace of all layers, compiled": lambda: compiled.trace(pixels),
    }
    with torch.inference_mode():
        seconds = least(works, repeats)
    print("| what | core-ms per picture | in forward passes |\n|---|---|---|")
    for name, value in seconds.items():
        print(f"| {name} | {value / len(pixels) * 1e3:.2f} | {value / seconds['forward']:.2f} |")
    apart = max(
        off(found.activations[layer], usual.activations[layer]) for layer in found.activations
    )
    embeddings = off(found.embeddings, usual.embeddings)
    print(f"\ncompiling the trace: {took:.0f} s")
    print(
        f"off by, of the largest value: {embeddings:.1e} of embeddings, {apart:.1e} of activations"
    )


def off(found: torch.Tensor, usual: torch.Tensor) -> float:
    """The largest difference, of the largest value."""
    return float((found - usual).abs().max() / usual.abs().max())


if __name__ == "__main__":
    main()
