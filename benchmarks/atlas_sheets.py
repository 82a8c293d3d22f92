"""Pictures of an atlas as single files, or as sheets (sprites) of every block or neuron: files, bytes, first views.

    python benchmarks/atlas_sheets.py demo-run            # a store with a run that has an atlas

The pictures are those that the pages of neurons show, as the run holds them: WebP, as small as its atlas made them. A
sheet is a WebP of the same quality with the distinct pictures of some neurons side by side; its pages all load it. What
a page shows besides, top pictures of its nearest neurons, is left out: with sheets it would take those of other blocks.
"""

import argparse
import io
import sys
from collections.abc import Iterable, Mapping
from math import ceil
from statistics import median

import numpy as np
from PIL import Image

from clipneuron.reports.quantities import size
from clipneuron.store.store import Run, Store

COLUMNS = 32
Shown = Mapping[tuple[int, int], frozenset[int]]
"""Numbers of the pictures on the page of each neuron."""


def shown(run: Run) -> Shown:
    found: dict[tuple[int, int], set[int]] = {}
    rows = run.read(run.stage("shown"), "shown_pictures", columns=["layer", "neuron", "index"])
    for row in rows.to_pylist():
        found.setdefault((row["layer"], row["neuron"]), set()).add(row["index"])
    return {neuron: frozenset(own) for neuron, own in sorted(found.items())}


def tiles(run: Run) -> dict[int, bytes]:
    rows = run.read(run.stage("thumbnails"), "thumbnails", columns=["key", "tile"]).to_pylist()
    return {int(row["key"]): row["tile"] for row in rows if row["tile"] is not None}


def sheet(some: Iterable[int], pixels: Mapping[int, Image.Image], quality: int) -> int:
    """Bytes of a sheet with these pictures."""
    numbers = sorted(set(some) & pixels.keys())
    side = max(max(pixels[number].size) for number in numbers)
    rows = ceil(len(numbers) / COLUMNS)
    whole = Image.new("RGB", (side * min(COLUMNS, len(numbers)), side * rows))
    for place, number in enumerate(numbers):
        row, column = divmod(place, COLUMNS)
        whole.paste(pixels[number], (column * side, row * side))
    buffer = io.BytesIO()
    whole.save(buffer, "WEBP", quality=quality)
    return len(buffer.getvalue())


def line(*cells: str) -> None:
    print(f"{cells[0]:34}" + "".join(f"{cell:>16}" for cell in cells[1:]), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store")
    parser.add_argument("--run", default="", help="name of the run, or how it begins")
    parser.add_argument("--block", type=int, default=256, help="neurons of a block")
    parser.add_argument("--sample", type=int, default=200, help="neurons whose own sheet is made")
    parser.add_argument("--quality", type=int, default=60)
    asked = parser.parse_args()
    run = Store(asked.store).find_run(asked.run)
    pages, files = shown(run), tiles(run)
    used = set().union(*pages.values())
    print(f"{run.name}: {len(pages):,} neurons show {len(used):,} pictures")
    line("", "files", "bytes", "of a page", "its requests")
    single = {number: len(data) for number, data in files.items() if number in used}
    views = [sum(single.get(number, 0) for number in own) for own in pages.values()]
    requests = median(len(own) for own in pages.values())
    line(
        "single files",
        f"{len(single):,}",
        size(sum(single.values())),
        size(median(views)),
        f"{requests:.0f}",
    )
    pixels = {number: Image.open(io.BytesIO(files[number])).convert("RGB") for number in single}
    blocks: dict[tuple[int, int], set[int]] = {}
    for (layer, neuron), own in pages.items():
        blocks.setdefault((layer, neuron // asked.block), set()).update(own)
    sheets = [sheet(own, pixels, asked.quality) for own in blocks.values()]
    name = f"a sheet for {asked.block} neurons"
    line(name, f"{len(sheets):,}", size(sum(sheets)), size(median(sheets)), "1")
    chosen = np.random.default_rng(0).permutation(len(pages))[: asked.sample]
    neurons = [*pages.values()]
    own_sheets = [sheet(neurons[place], pixels, asked.quality) for place in chosen.tolist()]
    whole = len(pages) * sum(own_sheets) / len(own_sheets)
    name = f"a sheet for each neuron ({len(own_sheets)} made)"
    line(name, f"{len(pages):,}", size(whole), size(median(own_sheets)), "1")


if __name__ == "__main__":
    sys.exit(main())
