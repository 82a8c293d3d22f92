"""How fast, how large and how quick in a browser the atlas of a large model is, of made-up neurons.

    python benchmarks/atlas.py                            # 24 layers of 4,096 neurons: ViT-L-14
    python benchmarks/atlas.py --layers 2 --neurons 512   # small
    python benchmarks/atlas.py --pages 500 --browser      # no whole site: pages a second, and the browser

The cards have two pools of words, 12 pictures with heats of noise, which compresses worst, and scores, but no attacks;
words follow Zipf's law. What is measured stands between the cards and the files of a site: pages, index, map and
tables, written to a folder by one process, without reading a run's tables. The browser is a headless Chromium; a search
is timed in the page, from a key to the results: cold, with each query for the first time, and warm, with its chunks
there.
"""

import argparse
import io
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
from atlas_cards import PICTURES, World
from PIL import Image

from clipneuron.atlas import addresses
from clipneuron.atlas.cards import Card, FrontCard, LayerCard, MapCard, Point, WordCard
from clipneuron.atlas.finding import chunks, search
from clipneuron.atlas.finding.plane import places
from clipneuron.atlas.finding.words import Uses
from clipneuron.atlas.html import pages
from clipneuron.reports.quantities import duration, size

EMBED = 768


class Folder:
    """Where files are written, and how many and how large they were."""

    def __init__(self, root: Path) -> None:
        self.root, self.files, self.bytes = root, 0, 0

    def put(self, some: Iterable[chunks.File]) -> None:
        """Writes files as they come."""
        for address, content in some:
            path = self.root / address
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            self.files, self.bytes = self.files + 1, self.bytes + len(content)

    @contextmanager
    def told(self, what: str) -> Iterator[None]:
        """Prints what is written within the block."""
        before, began, wall = (self.files, self.bytes), time.process_time(), time.perf_counter()
        yield
        count, written = self.files - before[0], self.bytes - before[1]
        cpu, wall = time.process_time() - began, time.perf_counter() - wall
        each = size(written / count) if count else "-"
        line(
            what,
            f"{count:,}",
            f"{cpu:.1f} s",
            f"{wall:.1f} s",
            f"{count / cpu:,.0f}/s",
            each,
            size(written),
            size(peak()),
        )


def line(*cells: str) -> None:
    print(f"{cells[0]:26}" + "".join(f"{cell:>12}" for cell in cells[1:]), flush=True)


def peak() -> float:
    return 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def rendered(world: World, cards: Iterable[Card]) -> Iterator[chunks.File]:
    for card in cards:
        yield pages.address(card), pages.page(card, world.site).encode()


def build(world: World, folder: Folder, most: int | None) -> None:
    """The site, of at most so many neuron pages and word pages."""
    neurons = range(world.count if most is None else min(most, world.count))
    folder.put(static())
    folder.put((addresses.tile(str(n)), tile()) for n in range(PICTURES))
    with folder.told("pages of neurons"):
        folder.put(rendered(world, map(world.card, neurons)))
    with folder.told("pages of layers"):
        for layer in range(world.layers):
            rows = tuple(map(world.row, range(layer * world.width, (layer + 1) * world.width)))
            card = LayerCard(layer, world.site.layers, rows=rows)
            folder.put(rendered(world, [card]))
            folder.put([chunks.layer_rows(card)])
            folder.put(chunks.neuron_words(layer, [(row.neuron[1], row.words) for row in rows]))
    uses = world.uses()
    with folder.told("index of the search"):
        folder.put(index(world, uses))
    with folder.told("pages of words"):
        folder.put(rendered(world, words(world, uses, most)))
    with folder.told("map and front page"):
        card = mapped(world)
        front = FrontCard("run", (), world.site.layers, world.count, len(world.texts), PICTURES)
        folder.put([*rendered(world, [card, front]), chunks.map_points(card)])


def static() -> Iterator[chunks.File]:
    for item in files("clipneuron").joinpath("atlas/static").iterdir():
        yield f"static/{item.name}", item.read_bytes()


@cache
def tile() -> bytes:
    """A picture about as large as one of a photograph."""
    coarse = np.random.default_rng(3).integers(0, 256, (14, 14, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((112, 112), Image.Resampling.BICUBIC).save(
        buffer, "WEBP", quality=80
    )
    return buffer.getvalue()


def index(world: World, uses: Uses) -> Iterator[chunks.File]:
    entries = [
        search.Entry.word(text, int(uses.counts[n]), [neuron for neuron, _ in uses.neurons(n, 3)])
        for n, text in enumerate(uses.texts)
    ]
    yield from search.index(entries, [world.neuron(row) for row in range(world.count)])


def words(world: World, uses: Uses, most: int | None) -> Iterator[WordCard]:
    for n, text in list(enumerate(uses.texts))[:most]:
        own = uses.neurons(n, 120)
        rows = tuple(
            (world.row(layer * world.width + number), weight) for (layer, number), weight in own
        )
        yield WordCard(text, ("words",), rows, int(uses.counts[n]), tuple(uses.companions(n, 24)))


def mapped(world: World) -> MapCard:
    def blocks() -> Iterator[np.ndarray]:
        for layer in range(world.layers):
            yield np.random.default_rng([2, layer]).standard_normal(
                (world.width, EMBED), dtype=np.float32
            )

    x, y, explained = places(blocks)
    points = zip(map(world.neuron, range(world.count)), x.tolist(), y.tolist(), strict=True)
    return MapCard(world.site.layers, explained, tuple(Point(*point, 0.3) for point in points))


LOOK = """(async query => {
  const field = document.getElementById("query"), said = document.getElementById("found-said");
  const seen = new Promise(done => new MutationObserver(done).observe(said, {childList: true}));
  field.value = query;
  const began = performance.now();
  field.dispatchEvent(new Event("input"));
  await seen;
  return performance.now() - began;
})(%r)"""
VIEW = """(e => [e.length, e.reduce((sum, one) => sum + one.transferSize, 0), e[0].loadEventEnd])(
  ["navigation", "resource"].flatMap(kind => performance.getEntriesByType(kind)))"""


def in_browser(world: World, root: Path) -> None:
    """Search and first view, from the folder and from a web server of this machine."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from tests.browser import chromium
    from tests.browser.web import serving

    queries = sorted(
        {text[:n] for text in world.texts[::7] for n in (1, 2, 3)}, key=lambda q: (q[::-1], q)
    )[::37][:60]
    queries += [
        f"{layer}:{n}"
        for layer, n in map(world.neuron, range(0, world.count, max(1, world.count // 40)))
    ]
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        chromium.browser(Path(profile)) as page,
        serving(root) as url,
    ):
        for name, base in (("folder", root.as_uri()), ("web server", url)):
            page.open(f"{base}/{addresses.layer(0)}")
            page.value("document.getElementById('query').focus()")
            for state in ("cold", "warm"):
                began = spent()
                took = [page.value(LOOK % query) for query in queries]
                each = 1000 * (spent() - began) / len(queries)
                cells = (*(f"{value:.0f} ms" for value in spread(took)), f"{each:.0f} ms")
                line(f"search, {name}, {state}", *cells)
        # Style and script are there by now.
        page.call("Network.setCacheDisabled", cacheDisabled=True)
        for address in (addresses.FRONT, addresses.neuron(0, 0), addresses.layer(0), addresses.MAP):
            page.open(f"{url}/{address}?")
            requests, sent, loaded = page.value(VIEW)
            line(f"view {address}", f"{requests}", size(sent), f"{loaded:.0f} ms")
    print(f"({len(queries)} queries: median, 95 %, most by the clock; the browser's CPU for each)")


def spent() -> float:
    """CPU seconds of all processes that this one has begun: what a search costs on a machine with other work."""
    parents, ticks = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # a process that has just ended
            fields = path.read_text().rpartition(")")[2].split()
            pid = int(path.parent.name)
            parents[pid], ticks[pid] = int(fields[1]), int(fields[11]) + int(fields[12])
    own, more = set[int](), {os.getpid()}
    while more:
        more = {pid for pid, parent in parents.items() if parent in more} - own
        own |= more
    return sum(ticks[pid] for pid in own) / os.sysconf("SC_CLK_TCK")


def spread(values: Sequence[float]) -> list[float]:
    return [float(np.quantile(values, q)) for q in (0.5, 0.95, 1)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, value in (("layers", 24), ("neurons", 4096), ("vocabulary", 30_000)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--pages", type=int, help="at most so many pages of neurons and of words")
    parser.add_argument(
        "--browser", action="store_true", help="search and first views in a Chromium"
    )
    parser.add_argument(
        "--folder", type=Path, help="keep the site here (default: a temporary folder)"
    )
    asked = parser.parse_args()
    world = World(asked.layers, asked.neurons, asked.vocabulary)
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    print(
        f"{world.count:,} neurons, {asked.vocabulary:,} words; one process on {cores} cores, load {load:.1f}"
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = Folder(asked.folder or Path(temporary))
        line("", "files", "CPU", "wall", "per CPU-s", "each", "bytes", "peak so far")
        wall = time.perf_counter()
        build(world, folder, asked.pages)
        took = duration(time.perf_counter() - wall)
        print(f"all: {folder.files:,} files, {size(folder.bytes)}, {took}, peak {size(peak())}")
        if asked.browser:
            in_browser(world, folder.root)


if __name__ == "__main__":
    sys.exit(main())
