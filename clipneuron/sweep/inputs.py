"""What a recipe names, found: its model, its pictures and its texts. The pictures of the demo world are rendered.

torch is imported only for the model itself, so that all else is found, or missed, without it.
"""

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from clipneuron.config.concepts import Concepts
from clipneuron.config.evaluation import Evaluation
from clipneuron.config.explanation import Explanation
from clipneuron.config.recipe import Recipe
from clipneuron.config.segmentation import Segmentation
from clipneuron.data.columns import Columns
from clipneuron.data.opening import Collection, check_place, open_collection
from clipneuron.data.text_pools import Pool, check_pool, open_pool, pool_of
from clipneuron.demo import pool as demo_pool
from clipneuron.demo.collection import CONTENTS, write_collection, write_things
from clipneuron.demo.pictures import WORLD
from clipneuron.models.compilers import check_compiler
from clipneuron.store.objects.opening import open_objects, probe
from clipneuron.store.objects.protocol import Objects

if TYPE_CHECKING:
    from clipneuron.models.clip.model import Clip

DEMO_PICTURES = 2000
LEAST_TEXTS = 2
"""Of a pool that describes neurons: a single text would describe them all."""
_UPLOADS = 16


def check(recipe: Recipe) -> None:
    """Raises ValueError for what can be seen to be missing without the model: pictures and texts."""
    if recipe.images != "demo":
        check_place(recipe.images)
    check_texts(recipe.pool, LEAST_TEXTS)
    if recipe.compile:
        check_compiler()


def check_texts(spec: str, least: int = 1) -> None:
    """Raises ValueError for a pool that is not there or holds fewer texts; those of the demo world always are."""
    if spec != "demo":
        check_pool(spec, least)


def model_of(recipe: Recipe) -> "Clip":
    """The recipe's model on the CPU, from where workers take it to their devices.

    Raises ValueError for a model that is not there or not of the right kind.
    """
    import torch

    from clipneuron.models.clip.model import load_clip

    dtype = getattr(torch, recipe.dtype)
    clip = load_clip(recipe.model, recipe.pretrained, device="cpu", dtype=dtype)
    return clip.with_gelu_texts() if recipe.text_activation == "gelu" else clip


def pictures_of(recipe: Recipe, store: Objects) -> Collection:
    """Every n-th of the recipe's pictures, at most `limit`; those of the demo world are rendered into the store.

    Raises ValueError when there is nothing to read, or not enough for a direction.
    """
    rendered = Rendered(recipe.seed, recipe.limit or DEMO_PICTURES, of_things=False)
    whole = open_pictures(recipe.images, store, rendered, columns_of(recipe, "recipe"))
    collection = thinned(whole, recipe.every, recipe.limit)
    if len(collection) < 2:
        raise ValueError(
            "a neuron's direction takes at least 2 pictures, and only one is left of "
            f"{recipe.images}; look at `recipe.images`, `recipe.every` and `recipe.limit`"
        )
    return collection


def check_calibration(recipe: Recipe, pictures: int) -> None:
    """Raises ValueError for mean effects of more pictures than there are, or of a single one."""
    asked = recipe.calibrate_on
    if not asked:
        return
    if asked > pictures:
        raise ValueError(
            f"`recipe.calibrate_on` asks for the means of {asked:,} pictures, and there are {pictures:,}: ask for at "
            "most as many, or for 0, which takes all"
        )
    if asked == 1:
        raise ValueError(
            "`recipe.calibrate_on` asks for the mean of 1 picture, over which that picture has no effect: ask for at "
            "least 2, or for 0, which takes all"
        )


def check_cache(recipe: Recipe) -> None:
    """Raises ValueError for a place that can't keep decoded pictures, StoreError for a bucket out of reach."""
    if recipe.cache_size and not recipe.cache:
        raise ValueError("`recipe.cache_size` bounds a cache: name its place by `recipe.cache` too")
    if not recipe.cache:
        return
    try:
        open_objects(recipe.cache)
    except ValueError as error:
        raise ValueError(f"`recipe.cache` can't keep pictures: {error}") from error


def class_names_in(spec: str) -> tuple[str, ...]:
    """ImageNet's class names, or the lines of a file, all of which count; raises ValueError."""
    if spec == "imagenet":
        from clipneuron.models.clip.model import IMAGENET_CLASSES

        return IMAGENET_CLASSES
    pool = open_pool(spec)
    if pool.left_out:
        raise ValueError(
            f"{spec} cannot name classes, since lines would be left out ({pool.left_out}): every line needs a name of "
            "its own"
        )
    return pool.texts


def templates_in(spec: str) -> tuple[str, ...]:
    """The sentences that a class name is put into; raises ValueError."""
    if spec == "imagenet":
        from clipneuron.models.clip.model import IMAGENET_TEMPLATES

        return IMAGENET_TEMPLATES
    if spec == "demo":
        from clipneuron.demo.training.evaluate import PROMPTS

        return PROMPTS
    return open_pool(spec).texts


def texts_of(recipe: Recipe) -> Pool:
    """The recipe's pool of texts; raises ValueError."""
    pool = pool_of("demo", demo_pool()) if recipe.pool == "demo" else open_pool(recipe.pool)
    pool.check_size(LEAST_TEXTS)
    return pool


def readable(pool: Pool, clip: "Clip") -> Pool:
    """The pool as this model reads it: one of texts that it cannot tell apart, and which it reads the beginning of.

    Raises ValueError where too few are left.
    """
    found = clip.reading(pool.texts)
    kept = pool.without(found.twins, f"the same to {clip.name}")
    kept.check_size(LEAST_TEXTS)
    return replace(kept, cut={text: found.cut[text] for text in kept.texts if text in found.cut})


def unread(pool: Pool) -> str:
    """What to say of texts that are cut off, "" where none is."""
    if not pool.cut:
        return ""
    text, tokens = next(iter(pool.cut.items()))
    return f"texts of {pool.name} that are read in part: {len(pool.cut):,}, such as '{text:.40}...' of {tokens} tokens"


def about_classes(names: Sequence[str], templates: Sequence[str], clip: "Clip") -> list[str]:
    """What to say of classes that the model cannot tell apart, or whose texts it reads in part; a line each."""
    from clipneuron.models.clip.tokens import fill_templates

    distinct = list(dict.fromkeys(names))
    texts = fill_templates(distinct, [max(templates, key=len)])
    name_of = dict(zip(texts, distinct, strict=True))
    found = clip.reading(texts)
    lines = [f"classes with the name of another: {len(names) - len(distinct):,}"]
    lines = lines if len(distinct) < len(names) else []
    if found.twins:
        text, other = next(iter(found.twins.items()))
        pair = f"{name_of[text]:.40} and {name_of[other]:.40}"
        lines.append(
            f"classes that are the same as another to {clip.name}: {len(found.twins):,}, such as {pair}"
        )
    if found.cut:
        text, tokens = next(iter(found.cut.items()))
        lines.append(
            f"classes that are read in part in the longest template: {len(found.cut):,}, such as "
            f"'{name_of[text]:.40}...' of {tokens} tokens, of which {found.context} are read"
        )
    return lines


def check_device(name: str) -> None:
    """Raises ValueError when a recipe's device is not here; only for a GPU is torch asked."""
    kind, _, number = name.partition(":")
    if kind != "cuda":
        return
    import torch

    if int(number or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise ValueError(
            f"{name} is not here, torch finds {found} GPUs: use `recipe.device` auto or cpu"
        )


def columns_of(
    asked: Recipe | Evaluation | Explanation | Segmentation | Concepts, section: str
) -> Columns:
    """What holds the pictures that a recipe or one of its sections names, and their classes."""
    return Columns.named(
        section, asked.image_column, asked.label_column, asked.name_column, asked.member
    )


@dataclass(frozen=True)
class Rendered:
    """Pictures of the demo world."""

    seed: int
    count: int
    of_things: bool
    """Whether each shows one thing, so that it has a class."""


def open_pictures(images: str, store: Objects, rendered: Rendered, columns: Columns) -> Collection:
    """The pictures at a place, or those that are to be rendered of the demo world; the store is no part of them."""
    if images != "demo":
        return open_collection(images, columns=columns, store=store.url)
    kind = "demo-things" if rendered.of_things else "demo"
    own = f"{kind}-{rendered.seed}-{rendered.count}-world-{WORLD}"
    objects = store.under(f"pictures/{own}")
    if objects.size(CONTENTS) is None:
        probe(objects)  # before minutes of rendering
        write = write_things if rendered.of_things else partial(write_collection, biased=True)
        _render(objects, partial(write, count=rendered.count, seed=rendered.seed))
    return open_collection(objects.url)


def _render(objects: Objects, write: Callable[[Path], None]) -> None:
    """Render the scenes into the store. Their records come last: with them, the collection is complete."""
    with tempfile.TemporaryDirectory(prefix="clipneuron-") as folder:
        write(Path(folder))
        pictures = sorted(path for path in Path(folder).iterdir() if path.name != CONTENTS)
        with ThreadPoolExecutor(_UPLOADS) as pool:
            list(pool.map(lambda path: objects.put(path.name, path.read_bytes()), pictures))
        objects.put(CONTENTS, (Path(folder) / CONTENTS).read_bytes())


def thinned(collection: Collection, every: int, limit: int) -> Collection:
    """Every n-th picture, at most `limit` of them, numbered anew."""
    kept = range(0, len(collection), every)
    kept = kept[:limit] if limit else kept
    if len(kept) == len(collection):
        return collection
    exact = f"{len(kept)} pictures, every {every if len(kept) > 1 else 1}"
    return picked(collection, kept, exact)


def picked(collection: Collection, kept: Sequence[int], exact: str) -> Collection:
    """Some of the pictures, numbered anew; `exact` says which in the digest."""
    listing = collection.listing.take(pa.array(kept, pa.int64()))
    numbers = pa.array(range(len(kept)), pa.int64())
    listing = listing.set_column(listing.schema.get_field_index("index"), "index", numbers)
    digest = hashlib.sha256(f"{collection.digest} {exact}".encode()).hexdigest()
    return replace(collection, listing=listing, digest=digest)


def seen_in(swept: Collection, whole: Collection) -> list[bool]:
    """Which pictures the sweep has: the same place in the same file, or the same content by S3's mark.

    All of them where the collections have the same content, such as a copy elsewhere.
    """
    if whole.digest == swept.digest:
        return [True] * len(whole)
    known = set(_addresses(swept))
    marks = set(swept.listing["etag"].drop_null().to_pylist())
    etags = whole.listing["etag"].to_pylist()
    # A mark is that of a file: it says nothing of one picture where a file holds many.
    single = whole.listing["offset"].is_null().to_pylist()
    return [
        address in known or (alone and etag in marks)
        for address, etag, alone in zip(_addresses(whole), etags, single, strict=True)
    ]


def _addresses(collection: Collection) -> list[tuple[str, int | None]]:
    files, listing = collection.reader.files, collection.listing
    sources = pc.unique(listing["source"]).to_pylist()
    places = {source: _resolved(files.location(source)) for source in sources}
    sources, offsets = listing["source"].to_pylist(), listing["offset"].to_pylist()
    return [(places[source], offset) for source, offset in zip(sources, offsets, strict=True)]


def _resolved(place: str) -> str:
    """The place behind links; addresses on S3 stay as they are."""
    return place if place.startswith("s3://") else str(Path(place).resolve())
