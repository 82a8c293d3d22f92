"""Runs of adversarial pictures as small as a test wants them: who fooled the model is stated, picture by picture."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from clipneuron.attack.review.deck import ReviewKeys
from clipneuron.store.store import Run, Store
from clipneuron.tables import registry as tables
from clipneuron.tables.experiments import Experiment

KEYS = ReviewKeys("pictures", "verdicts", "screening")
PATCHES = 16


class Shard(NamedTuple):
    """Pictures of one pair, method and repeat."""

    pair: str
    method: str
    repeat: int = 0

    @property
    def experiment(self) -> Experiment:
        c1, _, c2 = self.pair.partition(":")
        return Experiment((c1, c2), self.method, self.repeat)

    @property
    def name(self) -> str:
        return self.experiment.key

    def picture(self, number: int, size: int = 10) -> str:
        """The id of a picture: `size` of them share a caption."""
        return self.experiment.picture(number // size, number % size)


Margins = Sequence[float | None]
"""Of each picture; None for one that could not be painted."""


def attack_run(root: Path | str, shards: Mapping[Shard, Margins], size: int = 10) -> Run:
    """A run with pictures and verdicts; `size` pictures are painted of one caption."""
    run = Store(root).open_run("attack", {"model": "none"}, {})
    for shard, margins in shards.items():
        run.commit("pictures", shard.name, {"pictures": painted(shard, margins, size)})
        run.commit("verdicts", shard.name, {"verdicts": judged(shard, margins, size)})
    return run


def painted(shard: Shard, margins: Margins, size: int = 10) -> pa.Table:
    rows = [
        _key(shard, number, size)
        | _status(margin)
        | {
            "number": number // size,
            "caption": f"A {shard.pair.partition(':')[0]} near thing {number // size}.",
            "seed": number,
            "painter": "plain",
            "image": None if margin is None else image(shard, number),
            "unsafe": None,
            "watermarked": None,
        }
        for number, margin in enumerate(margins)
    ]
    return pa.Table.from_pylist(rows, schema=tables.schema("pictures"))


def judged(shard: Shard, margins: Margins, size: int = 10) -> pa.Table:
    rows = [
        _key(shard, number, size)
        | _status(margin)
        | {
            "margin": margin,
            "fooled": None if margin is None else margin > 0,
            "prediction": None if margin is None else "something",
            "heatmap": None if margin is None else [-1.0] * 8 + [1.0] * 8,
        }
        for number, margin in enumerate(margins)
    ]
    return pa.Table.from_pylist(rows, schema=tables.schema("verdicts"))


def screened(shard: Shard, seen: Sequence[tuple[bool | None, bool | None]]) -> pa.Table:
    """Whether c1 and c2 are seen, picture by picture."""
    rows = [
        _key(shard, number, 10) | {"shows_c1": c1, "shows_c2": c2, "by": "scene-truth"}
        for number, (c1, c2) in enumerate(seen)
    ]
    return pa.Table.from_pylist(rows, schema=tables.schema("screening"))


def colour(number: int) -> tuple[int, int, int]:
    """Of the picture with this number in its shard."""
    return 40 + 10 * (number % 20), 120, 200 - 10 * (number % 20)


def image(shard: Shard, number: int) -> bytes:
    """A plain picture that tells its method in its metadata, as painted pictures do."""
    text, buffer = PngInfo(), io.BytesIO()
    text.add_text("method", shard.method)
    Image.new("RGB", (64, 64), colour(number)).save(buffer, "PNG", pnginfo=text)
    return buffer.getvalue()


def _key(shard: Shard, number: int, size: int) -> dict[str, object]:
    return {"picture": shard.picture(number, size), **shard._asdict()}


def _status(margin: float | None) -> dict[str, object]:
    failed = margin is None
    return {"status": "failed" if failed else "ok", "reason": "not painted" if failed else None}
