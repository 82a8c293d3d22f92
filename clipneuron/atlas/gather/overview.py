"""What every page may need of any neuron, word or picture, as arrays that the processes of a node can share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clipneuron.atlas import addresses
from clipneuron.atlas.cards import Change, Neuron, Picture, Row, Tile, Word
from clipneuron.atlas.gather.sources import Sources
from clipneuron.data.plans import latest
from clipneuron.store.store import Run

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
_ORDER = [("layer", "ascending"), ("neuron", "ascending")]
FEW = 3
"""Words of a neuron where it is one of many."""


@dataclass(frozen=True)
class SpokenWords:
    """The words of all neurons from one pool: those of row i are at starts[i]..starts[i+1]."""

    starts: Ints
    text: Ints
    """Place in `texts`."""
    weight: Floats
    texts: tuple[str, ...]
    """Those that are somebody's words, in alphabetical order."""

    def of(self, row: int, count: int | None = None) -> tuple[Word, ...]:
        """The words of a neuron by its row, the first ones."""
        first, last = int(self.starts[row]), int(self.starts[row + 1])
        last = last if count is None else min(last, first + count)
        pairs = zip(self.text[first:last].tolist(), self.weight[first:last].tolist(), strict=True)
        return tuple(Word(self.texts[text], weight) for text, weight in pairs)


@dataclass(frozen=True)
class Pictures:
    """The pictures of the site, by rising number; sides of the two files, 0 where a picture could not be read."""

    index: Ints
    keys: tuple[str, ...]
    names: tuple[str, ...]
    labels: tuple[str, ...]
    sides: Ints
    """[picture, 4]: width and height of the tile, and of the large picture."""

    def of(self, index: int) -> Picture | None:
        """The picture of this number; None for one that is not in the site."""
        place = int(np.searchsorted(self.index, index))
        if place == len(self.index) or self.index[place] != index:
            return None
        key, label = self.keys[place], self.labels[place]
        width, height, wide, high = self.sides[place].tolist()
        return Picture(
            key=key,
            name=self.names[place],
            tile=Tile(addresses.tile(key), width, height) if width else None,
            large=Tile(addresses.large(key), wide, high) if wide else None,
            label=label,
            says=(label,) if label else (),
        )


@dataclass(frozen=True)
class Overview:
    """All neurons of a run in the order of layers and numbers, a row each, with their words and the site's pictures."""

    layer: Ints
    neuron: Ints
    explained: Floats
    participation: Floats
    threshold: Floats
    score: Floats
    """Correlation of the first pool's words on held-out pictures; NaN where it is not known."""
    top: Ints
    """Number of the first top picture, -1 for none."""
    silent: NDArray[np.bool_]
    """Whether a note says that the direction means nothing."""
    words: tuple[SpokenWords, ...]
    """By pool, in the order of `Sources.pools`."""
    pictures: Pictures
    cosine: Floats
    """With the same neuron's direction in the run that this one is compared with; empty without one."""
    kept: Floats
    """Share of its words that it has there too; empty likewise, NaN where neither has words."""

    def __len__(self) -> int:
        return len(self.layer)

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers of the run, rising."""
        return tuple(np.unique(self.layer).tolist())

    def row(self, neuron: Neuron) -> int:
        """The row of a neuron; raises KeyError for one that the run does not have."""
        layer, number = neuron
        first, last = np.searchsorted(self.layer, (layer, layer + 1))
        row = int(first + np.searchsorted(self.neuron[first:last], number))
        if row >= last or self.neuron[row] != number:
            raise KeyError(neuron)
        return row

    def at(self, row: int) -> Neuron:
        """The neuron of a row."""
        return int(self.layer[row]), int(self.neuron[row])

    def spoken(self, row: int, count: int | None = FEW) -> tuple[Word, ...]:
        """The first words of a neuron, from the first pool."""
        return self.words[0].of(row, count) if self.words else ()

    def picture(self, row: int) -> Picture | None:
        """The top picture of a neuron."""
        return self.pictures.of(int(self.top[row]))

    def change(self, row: int) -> Change | None:
        """How a neuron differs from the one of the run that this one is compared with."""
        if not len(self.cosine) or np.isnan(self.cosine[row]):
            return None
        return Change(float(self.cosine[row]), known(self.kept[row]))

    def card(self, row: int, value: float | None = None, pictured: bool = True) -> Row:
        """A neuron among others."""
        return Row(
            neuron=self.at(row),
            words=self.spoken(row),
            explained_variance=known(self.explained[row]),
            participation=known(self.participation[row]),
            threshold=known(self.threshold[row]),
            score=known(self.score[row]),
            change=self.change(row),
            value=value,
            picture=self.picture(row) if pictured else None,
        )


def known(value: float) -> float | None:
    """The number, None for NaN and infinity."""
    return float(value) if np.isfinite(value) else None


def overview_of(run: Run, sources: Sources, changes: pa.Table | None = None) -> Overview:
    """Read what is short of everything; raises StoreError.

    `changes` has the columns layer, neuron, cosine and words_shared of the neurons that were compared.
    """
    rows = _directions(run, sources.directions)
    keys = _keys(rows)
    firsts = [own[0] if own else -1 for own in rows["top_images"].to_pylist()]
    notes = rows["note"].is_valid() if "note" in rows.column_names else None
    silent = np.zeros(len(keys), bool) if notes is None else notes.to_numpy()
    return Overview(
        layer=rows["layer"].to_numpy().astype(np.int64),
        neuron=rows["neuron"].to_numpy().astype(np.int64),
        explained=rows["explained_variance"].to_numpy(),
        participation=rows["participation"].to_numpy(),
        threshold=rows["threshold"].to_numpy(),
        score=_scores(run, sources, keys),
        top=np.array(firsts, np.int64),
        silent=silent,
        words=tuple(_words(run, pool.descriptions, keys) for pool in sources.pools),
        pictures=_pictures(run, sources.thumbnails),
        **_changes(changes, keys),
    )


def _directions(run: Run, stage: str) -> pa.Table:
    """What is short of the table `directions`, a shard in memory at a time."""
    short = ("layer", "neuron", "explained_variance", "participation", "threshold", "note")
    parts = []
    first = next(iter(run.committed(stage).values())).stored("directions")
    there = run.schema_of(first).names  # an earlier version had no notes
    columns = [*(name for name in short if name in there), "top_images"]
    for _, part in run.scan(stage, "directions", columns=columns):
        tops = [own[:1] for own in part["top_images"].to_pylist()]
        place = part.column_names.index("top_images")
        parts.append(part.set_column(place, "top_images", pa.array(tops, pa.list_(pa.int64()))))
    return pa.concat_tables(parts, promote_options="default").sort_by(_ORDER)


def _keys(rows: pa.Table) -> Ints:
    """A number per row that orders it by layer and neuron."""
    layer, neuron = (rows[name].to_numpy().astype(np.int64) for name in ("layer", "neuron"))
    keys: Ints = (layer << 32) + neuron
    return keys


def _words(run: Run, stage: str, keys: Ints) -> SpokenWords:
    columns = ["layer", "neuron", "place", "text", "weight"]
    rows = run.read(stage, "neuron_words", columns=columns)
    rows = rows.sort_by([*_ORDER, ("place", "ascending")])
    texts = sorted({*rows["text"].to_pylist()})
    numbers = {text: number for number, text in enumerate(texts)}
    at = np.array([numbers[text] for text in rows["text"].to_pylist()], np.int64)
    starts = np.searchsorted(_keys(rows), np.append(keys, keys[-1:] + 1))
    return SpokenWords(starts.astype(np.int64), at, rows["weight"].to_numpy(), tuple(texts))


def _scores(run: Run, sources: Sources, keys: Ints) -> Floats:
    found = np.full(len(keys), np.nan, np.float32)
    scored = [pool for pool in sources.pools[:1] if pool.scores]
    for pool in scored:
        own = [("describer", "==", pool.describer)]
        columns = ["layer", "neuron", "correlation"]
        rows = run.read(pool.scores, "scores", columns=columns, filters=own)
        found[np.searchsorted(keys, _keys(rows))] = rows["correlation"].to_numpy()
    return found


def _pictures(run: Run, stage: str) -> Pictures:
    if not stage:
        return Pictures(np.zeros(0, np.int64), (), (), (), np.zeros((0, 4), np.int64))
    sides = ("tile_width", "tile_height", "large_width", "large_height")
    rows = run.read(stage, "thumbnails", columns=["key", "image", *sides])
    index = np.array([int(key) for key in rows["key"].to_pylist()], np.int64)
    order = np.argsort(index)
    plan = latest(run.read("plan", "plan", columns=["index", "part", "label_name"]))
    names = dict(zip(plan["index"].to_pylist(), plan["label_name"].to_pylist(), strict=True))
    images = rows["image"].to_pylist()
    widths = [rows[name].fill_null(0).to_numpy()[order].astype(np.int64) for name in sides]
    return Pictures(
        index[order],
        tuple(map(str, index[order].tolist())),
        tuple(images[place] for place in order.tolist()),
        tuple(names.get(number) or "" for number in index[order].tolist()),
        np.stack(widths, axis=1),
    )


def pictures_also_in(run: Run, pictures: Pictures, other: Run) -> Pictures:
    """Those of a site's pictures that another run has swept as well, under its numbers.

    Pictures are the same where their names and sizes are. Raises StoreError.
    """
    columns = ["index", "part", "image", "size"]
    plans = [latest(each.read("plan", "plan", columns=columns)) for each in (run, other)]
    known = [
        [*zip(plan["image"].to_pylist(), plan["size"].to_pylist(), strict=True)] for plan in plans
    ]
    numbers = dict(zip(known[1], plans[1]["index"].to_pylist(), strict=True))
    there = dict(zip(plans[0]["index"].to_pylist(), known[0], strict=True))
    found = sorted(
        (numbers[there[index]], place)
        for place, index in enumerate(pictures.index.tolist())
        if there[index] in numbers
    )
    places = [place for _, place in found]
    keys, names, labels = (
        tuple(own[place] for place in places)
        for own in (pictures.keys, pictures.names, pictures.labels)
    )
    index = np.array([number for number, _ in found], np.int64)
    return Pictures(index, keys, names, labels, pictures.sides[places])


def _changes(changes: pa.Table | None, keys: Ints) -> Mapping[str, Floats]:
    if changes is None:
        return {"cosine": np.zeros(0, np.float32), "kept": np.zeros(0, np.float32)}
    place = np.searchsorted(keys, _keys(changes)).clip(max=len(keys) - 1)
    there = keys[place] == _keys(changes)
    found = {}
    for name, column in (("cosine", "cosine"), ("kept", "words_shared")):
        values = np.full(len(keys), np.nan, np.float32)
        values[place[there]] = changes[column].to_numpy(zero_copy_only=False)[there]
        found[name] = values
    return found


def ranked(values: Sequence[float] | Floats, count: int, largest: bool = True) -> list[int]:
    """The places of the largest or smallest numbers, NaN left out; of equal ones the first."""
    array = np.asarray(values, np.float64)
    order = np.argsort(-array if largest else array, kind="stable")
    return [int(place) for place in order if not np.isnan(array[place])][:count]
