"""The pictures that pages show, cut into shards: those of the collection, and adversarial ones with their bytes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from clipneuron.attack.results import AttackResults
from clipneuron.data.plans import latest
from clipneuron.engine.stage import Shard
from clipneuron.store.store import Run
from clipneuron.tables.experiments import METHODS, Pair, pair_key, pair_name


def shown_shards(run: Run, plan: str, shown: str, size: int) -> Sequence[Shard]:
    """So many pictures of the table `shown_pictures` at a time, by their numbers, each with its rows of the plan."""
    index = run.read(shown, "shown_pictures", columns=["index"])["index"]
    return _shards(run, plan, index, size)


def most_shown(run: Run, plan: str, shown: str, size: int, most: int) -> Sequence[Shard]:
    """The same of the pictures that most neurons show, `most` of them; of equal ones, those that come first."""
    rows = run.read(shown, "shown_pictures", columns=["layer", "neuron", "index"])
    pairs = rows.group_by(["layer", "neuron", "index"]).aggregate([])
    counts = pairs.group_by("index").aggregate([("neuron", "count")])
    order = [("neuron_count", "descending"), ("index", "ascending")]
    return _shards(run, plan, counts.sort_by(order)["index"][:most], size)


def _shards(run: Run, plan: str, index: pa.ChunkedArray, size: int) -> Sequence[Shard]:
    planned = latest(run.read(plan, "plan"))
    own = planned.filter(pc.is_in(planned["index"], value_set=pc.unique(index)))
    rows = own.drop_columns("shard").combine_chunks()
    return [
        Shard(f"{start:08d}", part.num_rows, part)
        for start in range(0, rows.num_rows, size)
        for part in [rows.slice(start, size)]
    ]


@dataclass(frozen=True)
class Gallery:
    """The pictures of an attack that are shown."""

    attack: AttackResults
    state: str
    """Which of the attack's shards there are: it may go on later."""
    most: int
    """Pictures of each pair."""

    @property
    def identity(self) -> Mapping[str, object]:
        """Which attack, and how many pictures."""
        names = [self.attack.verdicts, self.attack.pictures]
        return {"attack": names, "state": self.state, "most": self.most}

    def shards(self, run: Run, most: int | None = None) -> Sequence[Shard]:
        """A shard per pair, with the names of its pictures; raises StoreError.

        `most`: that many of all pairs together, about as many of each; pairs that get none have no shard.
        """
        pairs = self.attack.pairs
        if most is None:
            shares = [self.most] * len(pairs)
        else:
            each, more = divmod(most, len(pairs) or 1)
            shares = [min(self.most, each + (place < more)) for place in range(len(pairs))]
        named = [
            (pair_key(pair), self._pictures(run, pair, share))
            for pair, share in zip(pairs, shares, strict=True)
            if share
        ]
        return [Shard(key, len(names), names) for key, names in named]

    def _pictures(self, run: Run, pair: Pair, most: int) -> list[str]:
        """Those that fool the model first, of each method in its order."""
        columns = ["picture", "method", "margin", "fooled", "status"]
        own = [("pair", "==", pair_name(pair)), ("status", "==", "ok")]
        table = run.read(self.attack.verdicts, "verdicts", columns=columns, filters=own)
        rows = table.to_pylist()
        rows.sort(
            key=lambda row: (
                not row["fooled"],
                METHODS.index(row["method"]),
                -row["margin"],
                row["picture"],
            )
        )
        return [row["picture"] for row in rows[:most]]


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


def _experiment(pair: str, picture: str) -> str:
    """The shard of a picture `pair/method/repeat/caption-copy`, whose pair has this key."""
    _, method, repeat, _ = picture.rsplit("/", 3)
    return f"{pair}-{method}-{int(repeat):02d}"
