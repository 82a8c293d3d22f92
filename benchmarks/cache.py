"""What a picture costs that is decoded, and one whose pixels are kept: core-milliseconds and bytes.

    python benchmarks/cache.py
    python benchmarks/cache.py --pictures 64 --repeats 3

The pictures are JPEGs of noise with a photograph's size, spectrum and bytes, made on the spot, brought to 224 x 224
pixels; the cache is a folder here. Both are read in turn in each repeat, and the least of each counts.
"""

import argparse
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from machine import describe
from shards import picture
from timing import seconds

from clipneuron.data.opening import open_collection
from clipneuron.engine.stage import Shard
from clipneuron.models.clip.preprocessing.preprocess import Preprocess
from clipneuron.readers.cache import PixelCache
from clipneuron.readers.pictures import PictureFeed

PREPROCESS = Preprocess(size=(224, 224), mean=(0.0,) * 3, std=(1.0,) * 3)


@dataclass(frozen=True)
class Costs:
    """Core-seconds of a picture, and its bytes."""

    decoded: float
    filled: float
    """Decoded and kept: once."""
    found: float
    given: float
    """Bytes of the file."""
    kept: float
    """Bytes in the cache."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    costs = measured(arguments.pictures, arguments.repeats)
    print(f"{describe()}\n\n| picture | core-ms | bytes |\n|---|---:|---:|")
    print(f"| decoded | {1e3 * costs.decoded:.2f} | {costs.given:,.0f} |")
    print(f"| decoded and kept | {1e3 * costs.filled:.2f} | {costs.kept:,.0f} |")
    print(f"| found in the cache | {1e3 * costs.found:.2f} | {costs.kept:,.0f} |")
    ratio = costs.decoded / costs.found
    print(f"\na picture that is found costs 1/{ratio:.1f} of the core time of a decoded one")


def measured(pictures: int, repeats: int) -> Costs:
    """Every way in turn; raises ValueError where pixels differ."""
    with tempfile.TemporaryDirectory(prefix="clipneuron-") as name:
        folder = Path(name, "pictures")
        folder.mkdir()
        for seed in range(pictures):
            (folder / f"{seed:04d}.jpg").write_bytes(picture(seed))
        collection = open_collection(folder)
        shard = Shard("all", pictures, collection.listing)
        plain = PictureFeed(collection.reader, PREPROCESS)
        kept = replace(plain, cache=PixelCache.at(f"{name}/cache"))
        plain.load(shard)  # to warm up
        filled, first = seconds(lambda: kept.load(shard))
        decoded, found = [], []
        for _ in range(repeats):
            for feed, times in ((plain, decoded), (kept, found)):
                took, batch = seconds(lambda feed=feed: feed.load(shard))
                times.append(took)
                if not np.array_equal(batch.pixels, first.pixels):
                    raise ValueError("the cache has other pixels than the decoder")
        bytes_of = [
            sum(path.stat().st_size for path in place.iterdir()) / pictures
            for place in (folder, Path(name, "cache", "pixels"))
        ]
    return Costs(min(decoded) / pictures, filled / pictures, min(found) / pictures, *bytes_of)


if __name__ == "__main__":
    main()
