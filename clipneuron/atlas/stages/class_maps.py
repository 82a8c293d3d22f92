"""class-maps, painted-class-maps: where in pictures is the class they are taken for, by every attribution method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from clipneuron.atlas import addresses
from clipneuron.atlas.gather.mapping import MappingStage, Wanted
from clipneuron.atlas.gather.pictured import Gallery, PaintedLoader, most_shown
from clipneuron.engine.stage import Shard, Upstream
from clipneuron.models.clip.preprocessing.preprocess import PictureError, Preprocess
from clipneuron.readers.pictures import PictureFeed
from clipneuron.store.store import Failure, Run


@dataclass(frozen=True, kw_only=True)
class ClassMapsStage(MappingStage):
    """Looks at the pictures of the collection that most neurons show."""

    pictures: PictureFeed
    plan: Upstream
    shown: Upstream
    shard_size: int = 64

    kind = "class-maps"

    @property
    def identity(self) -> Mapping[str, object]:
        """The methods, and how many pictures."""
        return {**super().identity, "most": self.most}

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The pictures, which of them are shown, and the directions that neurons are chosen by."""
        return (self.plan, self.shown, self.directions)

    def shards(self, run: Run) -> Sequence[Shard]:
        """These pictures by their numbers, so many at a time."""
        return most_shown(run, self.plan.name, self.shown.name, self.shard_size, self.most)

    def loader(self, run: Run) -> "NumberedFeed":
        """Reads and decodes pictures."""
        return NumberedFeed(self.pictures)


@dataclass(frozen=True, kw_only=True)
class PaintedClassMapsStage(MappingStage):
    """Looks at the adversarial pictures that come first in the galleries, about as many of each pair."""

    gallery: Gallery
    preprocess: Preprocess

    kind = "painted-class-maps"

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The directions; which pictures they are is in the identity."""
        return (self.directions,)

    @property
    def identity(self) -> Mapping[str, object]:
        """The methods, and which pictures."""
        return {**super().identity, "gallery": self.gallery.identity, "most": self.most}

    def shards(self, run: Run) -> Sequence[Shard]:
        """A shard per pair of classes, of as many as it has a share in."""
        return self.gallery.shards(run, self.most)

    def loader(self, run: Run) -> "PaintedFeed":
        """Reads and decodes pictures."""
        return PaintedFeed(PaintedLoader(run, self.gallery.attack.pictures), self.preprocess)


@dataclass(frozen=True)
class NumberedFeed:
    """Reads pictures of the collection, which are named by their numbers."""

    pictures: PictureFeed

    decodes = True

    def load(self, shard: Shard) -> Wanted:
        """The shard's pictures, decoded."""
        batch = self.pictures.load(shard)
        keys = tuple(str(picture.index) for picture in batch.good)
        return Wanted(keys, batch.pixels, batch.failures)


@dataclass(frozen=True)
class PaintedFeed:
    """Reads adversarial pictures."""

    paintings: PaintedLoader
    preprocess: Preprocess

    decodes = True

    def load(self, shard: Shard) -> Wanted:
        """The shard's pictures, decoded; a picture that cannot be used becomes a failure with its reason."""
        keys, pixels, failures = [], [], []
        for name, data in self.paintings.load(shard):
            try:
                decoded = self.preprocess.decode(data or b"", name)
            except PictureError as error:
                failures.append(Failure(name, error.status, error.reason))
            else:
                keys.append(addresses.slug(name))
                pixels.append(decoded)
        stacked = np.stack(pixels) if pixels else np.empty((0, 3, 1, 1), np.uint8)
        return Wanted(tuple(keys), stacked, tuple(failures))
