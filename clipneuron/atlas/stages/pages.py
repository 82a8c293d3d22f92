"""neuron-pages, word-pages, picture-pages and front-pages: the files of a site, as tables.

A commit holds the bytes, so that a page is there once however often it was made, and a site can be written anywhere,
again and again, from the run alone (`clipneuron.atlas.site`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clipneuron.atlas.gather.blocks import BlockReader
from clipneuron.atlas.gather.fronts import FrontPages
from clipneuron.atlas.gather.neurons import NeuronRows
from clipneuron.atlas.gather.paged import PagesStage, output_of
from clipneuron.atlas.gather.pictures import Maps, PictureReader, picture_card
from clipneuron.atlas.gather.shared import Shared
from clipneuron.atlas.gather.words import ConceptReader, Named, word_card
from clipneuron.engine.stage import Advance, Output, Shard
from clipneuron.readers.sweep import NeuronBlock
from clipneuron.store.store import Run


@dataclass(frozen=True, kw_only=True)
class NeuronPagesStage(PagesStage):
    """A page per neuron."""

    blocks: tuple[NeuronBlock, ...]

    kind = "neuron-pages"
    unit = "neurons"

    def shards(self, run: Run) -> Sequence[Shard]:
        """A shard per block of neurons."""
        return [Shard(block.name, block.size, block) for block in self.blocks]

    def loader(self, run: Run) -> "NeuronLoader":
        """Reads the rows of a block from all tables."""
        against = self.against
        other = BlockReader(against.run, against.sources) if against else None
        return NeuronLoader(BlockReader(run, self.sources), other)

    def build(self, shared: Shared) -> "NeuronPages":
        """A worker that writes pages."""
        return NeuronPages(shared)


@dataclass(frozen=True)
class NeuronLoader:
    """Reads block after block."""

    reader: BlockReader
    other: BlockReader | None = None
    """Of the run that neurons are shown beside."""

    def load(self, shard: Shard) -> "list[tuple[NeuronRows, NeuronRows | None]]":
        """What the tables say of each neuron of the block, here and there."""
        own = self.reader.rows(shard.payload)
        others = self.other.rows(shard.payload) if self.other else []
        beside = {rows.direction["neuron"]: rows for rows in others}
        return [(rows, beside.get(rows.direction["neuron"])) for rows in own]


@dataclass(frozen=True)
class NeuronPages:
    """Writes the pages of one block after another."""

    shared: Shared

    def process(
        self, loaded: "list[tuple[NeuronRows, NeuronRows | None]]", advance: Advance
    ) -> Output:
        """The table `pages`."""
        files = []
        for rows, beside in loaded:
            files.append(self.shared.rendered(self.shared.card(rows, beside)))
            advance(1)
        return output_of(files)


@dataclass(frozen=True, kw_only=True)
class WordPagesStage(PagesStage):
    """A page per word that describes a neuron."""

    count: int = 256
    """Words of a shard."""

    kind = "word-pages"
    unit = "words"

    def shards(self, run: Run) -> Sequence[Shard]:
        """So many words at a time, in alphabetical order."""
        found: set[str] = set()
        for pool in self.sources.pools:
            rows = run.read(pool.descriptions, "neuron_words", columns=["text"])
            found |= {*rows["text"].unique().to_pylist()}
        words = sorted(found)
        return [
            Shard(f"{start:08d}", len(some), (start, some))
            for start in range(0, len(words), self.count)
            for some in [words[start : start + self.count]]
        ]

    def loader(self, run: Run) -> "WordLoader":
        """Reads the pictures whose concepts name words; what else words need is shared."""
        return WordLoader(ConceptReader(run, self.sources))

    def build(self, shared: Shared) -> "WordPages":
        """A worker that writes pages."""
        return WordPages(shared)


@dataclass(frozen=True)
class WordLoader:
    """Reads in which pictures concepts name some words after others."""

    reader: ConceptReader

    def load(self, shard: Shard) -> tuple[range, Named]:
        """Their numbers among all words, and where they are named."""
        start, words = shard.payload
        return range(start, start + len(words)), self.reader.named(words)


@dataclass(frozen=True)
class WordPages:
    """Writes the pages of some words after others."""

    shared: Shared

    def process(self, loaded: tuple[range, Named], advance: Advance) -> Output:
        """The table `pages`."""
        own, (numbers, named), files = self.shared, loaded, []
        for number in numbers:
            text = own.uses.texts[number]
            about = own.pools.get(text, ()), named.pictures.get(text, ()), named.method
            files.append(own.rendered(word_card(own.uses, own.overview, number, *about)))
            advance(1)
        return output_of(files)


@dataclass(frozen=True, kw_only=True)
class PicturePagesStage(PagesStage):
    """A page per picture that some page shows."""

    count: int = 256
    """Pictures of a shard."""

    kind = "picture-pages"
    unit = "images"

    def shards(self, run: Run) -> Sequence[Shard]:
        """So many pictures at a time, by their numbers."""
        rows = run.read(self.sources.thumbnails, "thumbnails", columns=["key"])
        numbers = np.sort(np.array([int(key) for key in rows["key"].to_pylist()], np.int64))
        return [
            Shard(f"{start:08d}", len(part), part.tolist())
            for start in range(0, len(numbers), self.count)
            for part in [numbers[start : start + self.count]]
        ]

    def loader(self, run: Run) -> "PictureLoader":
        """Reads concepts and active neurons."""
        return PictureLoader(PictureReader(run, self.sources))

    def build(self, shared: Shared) -> "PicturePages":
        """A worker that writes pages."""
        return PicturePages(shared)


Pictured = tuple[list[int], dict[int, Any], dict[int, Any], dict[str, Maps]]
"""Numbers of pictures, and the neurons that act on each, its concepts, and where its class is."""


@dataclass(frozen=True)
class PictureLoader:
    """Reads what the tables say of some pictures after others."""

    reader: PictureReader

    def load(self, shard: Shard) -> Pictured:
        """The pictures of a shard."""
        numbers: list[int] = shard.payload
        ends = numbers[0], numbers[-1]
        reader = self.reader
        return numbers, reader.active(*ends), reader.concepts(*ends), reader.maps(numbers)


@dataclass(frozen=True)
class PicturePages:
    """Writes the pages of some pictures after others."""

    shared: Shared

    def process(self, loaded: Pictured, advance: Advance) -> Output:
        """The table `pages`."""
        numbers, active, concepts, maps = loaded
        files = []
        for number in numbers:
            about = (
                active.get(number, ()),
                concepts.get(number, ()),
                maps.get(str(number), ("", [])),
                len(self.shared.classes),
            )
            files.append(self.shared.rendered(picture_card(self.shared.overview, number, *about)))
            advance(1)
        return output_of(files)


@dataclass(frozen=True, kw_only=True)
class FrontPagesStage(PagesStage):
    """The front page, the map, layers, pairs of classes and their pictures, what the script reads, and the script."""

    kind = "front-pages"
    unit = "pages"

    def shards(self, run: Run) -> Sequence[Shard]:
        """One."""
        return [Shard("front", 1)]

    def loader(self, run: Run) -> "FrontLoader":
        """Hands on the run: what these pages need is read as they are written."""
        return FrontLoader(run)

    def build(self, shared: Shared) -> "FrontWorker":
        """A worker that writes pages."""
        return FrontWorker(shared)


@dataclass(frozen=True)
class FrontLoader:
    """Hands on the run."""

    run: Run

    def load(self, shard: Shard) -> Run:
        """The run."""
        return self.run


@dataclass(frozen=True)
class FrontWorker:
    """Writes what there is once."""

    shared: Shared

    def process(self, loaded: Run, advance: Advance) -> Output:
        """The table `pages`."""
        output = output_of([*FrontPages(loaded, self.shared).files()])
        advance(1)
        return output
