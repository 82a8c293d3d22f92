"""What a picture costs that is decoded, and one whose pixels are kept: CPU-milliseconds and bytes.

The pictures are JPEGs of noise with a photograph's size, spectrum and bytes, made on the spot, brought to 224 x 224
pixels; the cache is a folder here. Both are read in turn within one run, several times, and the best of each counts.

    python benchmarks/cache.py [PICTURES] [ROUNDS]
"""

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.shards import picture
from clipneuron.data.opening import open_collection
from clipneuron.engine.stage import Shard
from clipneuron.models.clip.preprocessing.preprocess import Preprocess
from clipneuron.readers.cache import PixelCache
from clipneuron.readers.pictures import Batch, PictureFeed

PREPROCESS = Preprocess(size=(224, 224), mean=(0.0,) * 3, std=(1.0,) * 3)


def main(pictures: int = 256, rounds: int = 5) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(prefix="clipneuron-") as name:
        folder = Path(name)
        (folder / "pictures").mkdir()
        for seed in range(pictures):
            (folder / "pictures" / f"{seed:04d}.jpg").write_bytes(picture(seed))
        collection = open_collection(folder / "pictures")
        shard = Shard("all", pictures, collection.listing)
        plain = PictureFeed(collection.reader, PREPROCESS)
        cache = PixelCache.at(str(folder / "cache"))
        kept = replace(plain, cache=cache)
        first, filled = _cpu(lambda: kept.load(shard))
        decoded, read = [], []
        for _ in range(rounds):
            seconds, batch = _cpu(lambda: plain.load(shard))
            decoded.append(seconds)
            seconds, again = _cpu(lambda: kept.load(shard))
            read.append(seconds)
            assert np.array_equal(batch.pixels, again.pixels)
            assert np.array_equal(batch.pixels, filled.pixels)
        stored = sum(path.stat().st_size for path in Path(cache.url, "pixels").iterdir())
        given = sum(path.stat().st_size for path in (folder / "pictures").iterdir())
    per = 1000 / pictures
    print("| pictures | CPU-ms each | bytes each |\n|---|---:|---:|")
    print(f"| decoded | {min(decoded) * per:.2f} | {given / pictures:,.0f} |")
    print(f"| decoded and kept | {first * per:.2f} | {stored / pictures:,.0f} |")
    print(f"| read from the cache | {min(read) * per:.2f} | {stored / pictures:,.0f} |")
    print(
        f"\na kept picture costs 1/{min(decoded) / min(read):.1f} of the CPU time of a decoded one"
    )


def _cpu(load: Callable[[], Batch]) -> tuple[float, Batch]:
    started = time.process_time()
    batch = load()
    return time.process_time() - started, batch


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
