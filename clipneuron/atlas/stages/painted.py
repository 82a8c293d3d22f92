"""painted-thumbnails: the adversarial pictures that pages show, small; a shard per pair of classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image, UnidentifiedImageError

from clipneuron.atlas import addresses
from clipneuron.atlas.gather.pairs import gallery
from clipneuron.atlas.gather.tiles import Sizes, shrunk
from clipneuron.attack.results import AttackResults
from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.store.store import Failure, Run
from clipneuron.tables import registry as tables
from clipneuron.tables.experiments import pair_key


@dataclass(frozen=True, kw_only=True)
class PaintedThumbnailsStage(Stage):
    """Takes the pictures that fool the model most from an attack's table `pictures`."""

    attack: AttackResults
    state: str
    """Which of the attack's shards there are: it may go on later."""
    most: int
    """Pictures of each pair."""
    sizes: Sizes
    reads: tuple[Upstream, ...] = ()
    resources: Resources = Resources()

    kind = "painted-thumbnails"
    writes = ("thumbnails",)
    unit = "images"

    @property
    def identity(self) -> Mapping[str, object]:
        """Which attack, how many pictures, how small."""
        return {
            "attack": [self.attack.verdicts, self.attack.pictures],
            "state": self.state,
            "most": self.most,
            **self.sizes.identity,
        }

    def shards(self, run: Run) -> Sequence[Shard]:
        """A shard per pair, with the names of its pictures."""
        found = []
        for pair in self.attack.pairs:
            names = gallery(run, self.attack, pair, self.most)
            found.append(Shard(pair_key(pair), len(names), names))
        return found

    def loader(self, run: Run) -> "PaintedLoader":
        """Reads the pictures' bytes."""
        return PaintedLoader(run, self.attack.pictures)

    def share(self, run: Run) -> None:
        """Nothing."""

    def build(self, shared: None) -> "PaintedWorker":
        """A worker that shrinks."""
        return PaintedWorker(self.sizes)


@dataclass(frozen=True)
class PaintedLoader:
    """Reads the pictures of a pair."""

    run: Run
    stage: str

    def load(self, shard: Shard) -> list[tuple[str, bytes | None]]:
        """Name and bytes of each, in the shard's order."""
        names: list[str] = shard.payload
        shards = sorted({_experiment(shard.name, name) for name in names})
        if not names:
            return []
        own = [("picture", "in", names)]
        columns = ["picture", "image"]
        rows = self.run.read(self.stage, "pictures", shards=shards, columns=columns, filters=own)
        found = dict(zip(rows["picture"].to_pylist(), rows["image"].to_pylist(), strict=True))
        return [(name, found.get(name)) for name in names]


@dataclass(frozen=True)
class PaintedWorker:
    """Shrinks the pictures of one pair after another."""

    sizes: Sizes

    def process(self, loaded: list[tuple[str, bytes | None]], advance: Advance) -> Output:
        """The table `thumbnails`."""
        rows = []
        for name, data in loaded:
            rows.append({"key": addresses.slug(name), "image": name, **self._small(data)})
            advance(1)
        table = pa.Table.from_pylist(rows, schema=tables.schema("thumbnails"))
        failed = [
            Failure(row["image"], row["status"], row["reason"])
            for row in rows
            if row["status"] != "ok"
        ]
        return Output({"thumbnails": table}, failed)

    def _small(self, data: bytes | None) -> dict[str, Any]:
        try:
            if data is None:
                raise ValueError("the table has no picture of that name")
            pixels = np.asarray(Image.open(BytesIO(data)).convert("RGB"))
        except (OSError, UnidentifiedImageError, ValueError) as error:
            return {"status": "damaged", "reason": str(error)}
        return {"status": "ok", **shrunk(pixels, self.sizes)}


def _experiment(pair: str, picture: str) -> str:
    """The shard of a picture `pair/method/repeat/caption-copy`, whose pair has this key."""
    _, method, repeat, _ = picture.rsplit("/", 3)
    return f"{pair}-{method}-{int(repeat):02d}"
