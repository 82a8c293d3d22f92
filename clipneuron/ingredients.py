"""What a recipe names, found: its model, its pictures and its texts. The pictures of the demo world are rendered."""

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from clipneuron.demo import pool as demo_pool
from clipneuron.demo.batches import truth_table
from clipneuron.demo.collection import (
    CONTENTS,
    scene_seed,
    write_collection,
    write_things,
)
from clipneuron.demo.evaluate import PROMPTS
from clipneuron.demo.grammar import GrammarCaptioner
from clipneuron.demo.scenes import sample_scene
from clipneuron.models.class_descriptions import descriptions
from clipneuron.models.clip import IMAGENET_CLASSES, IMAGENET_TEMPLATES, Clip, load_clip
from clipneuron.models.language import AnswersFile
from clipneuron.recipes import Evaluation, Recipe
from clipneuron.storage.images import Collection, open_collection
from clipneuron.storage.objects import Objects, probe
from clipneuron.storage.texts import Pool, open_pool, pool_of

DEMO_PICTURES = 2000
CLASS_DESCRIPTIONS = "class-descriptions"
"""The pool that a language model makes of the class names (Table 7)."""
_UPLOADS = 16


def model_of(recipe: Recipe) -> Clip:
    """The recipe's model on the CPU, from where workers take it to their devices.

    Raises ValueError for a model that is not there or not of the right kind.
    """
    dtype = getattr(torch, recipe.dtype)
    clip = load_clip(recipe.model, recipe.pretrained, device="cpu", dtype=dtype)
    return clip.with_gelu_texts() if recipe.text_activation == "gelu" else clip


def pictures_of(recipe: Recipe, store: Objects) -> Collection:
    """Every n-th of the recipe's pictures, at most `limit`; those of the demo world are rendered into the store.

    Raises ValueError when there is nothing to read, or not enough for a direction.
    """
    whole = _pictures(recipe.images, store, recipe.seed, recipe.limit or DEMO_PICTURES, False)
    collection = thinned(whole, recipe.every, recipe.limit)
    if len(collection) < 2:
        raise ValueError(
            "a neuron's direction takes at least 2 pictures, and only one is left of "
            f"{recipe.images}; look at --images, --every and --limit"
        )
    return collection


def labelled_pictures_of(recipe: Recipe, store: Objects) -> tuple[Collection, tuple[str, ...]]:
    """The pictures of the recipe's evaluation and the names of their classes, in the order of their labels.

    Those of the demo world show one thing each and are other scenes than those of the sweep. Raises ValueError for
    pictures without labels and for class names that do not fit them.
    """
    asked = recipe.evaluation
    if not asked.images:
        raise ValueError(
            "the evidence needs labelled pictures: give --evaluation-images, such as ImageNet's validation folder"
        )
    # The seed after the sweep's: the scenes of two seeds are never the same.
    whole = _pictures(asked.images, store, recipe.seed + 1, asked.limit or DEMO_PICTURES, True)
    return thinned(whole, asked.every, asked.limit), _class_names(asked, whole)


def class_names_in(spec: str) -> tuple[str, ...]:
    """ImageNet's class names, or the lines of a file, all of which count; raises ValueError."""
    if spec == "imagenet":
        return IMAGENET_CLASSES
    pool = open_pool(spec)
    if any(pool.dropped.values()):
        left = ", ".join(f"{count} {why}" for why, count in pool.dropped.items() if count)
        raise ValueError(
            f"{spec} cannot name classes, since lines would be left out ({left}): every line needs a name of its own"
        )
    return pool.texts


def templates_of(recipe: Recipe) -> tuple[str, ...]:
    """The sentences that a class name is put into; raises ValueError."""
    spec = recipe.evaluation.templates
    if spec == "imagenet":
        return IMAGENET_TEMPLATES
    return PROMPTS if spec == "demo" else open_pool(spec).texts


def evaluation_pools_of(recipe: Recipe, classes: Sequence[str]) -> tuple[Pool, ...]:
    """The pools of the evaluation; raises ValueError for what is not there and for two of one name."""
    pools = tuple(_pool(spec, recipe, classes) for spec in recipe.evaluation.pools)
    names = [pool.name for pool in pools]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(
            f"two pools are called {', '.join(sorted(twice))}: give their files different names"
        )
    return pools


def texts_of(recipe: Recipe) -> Pool:
    """The recipe's pool of texts; raises ValueError."""
    return pool_of("demo", demo_pool()) if recipe.pool == "demo" else open_pool(recipe.pool)


def check_device(name: str) -> None:
    """Raises ValueError when there is no such device here."""
    if name == "auto":
        return
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (number and not number.isdigit()):
        raise ValueError(f"there is no device {name!r}: expected auto, cpu, cuda, cuda:1 or mps")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise ValueError(f"{name} is not here, torch finds {found} GPUs: use --device auto or cpu")


def scene_truth(seed: int, images: Sequence[str], texts: Sequence[str]) -> NDArray[np.bool_]:
    """Which texts are true of which pictures of the demo world, [text, image]; drawn again, not read."""
    scenes = [
        sample_scene(scene_seed(seed, int(image.partition(".")[0])), biased=True)
        for image in images
    ]
    return truth_table(scenes, list(texts)).T


def _pictures(images: str, store: Objects, seed: int, count: int, labelled: bool) -> Collection:
    if images != "demo":
        return open_collection(images)
    kind = "demo-things" if labelled else "demo"
    objects = store.under(f"pictures/{kind}-{seed}-{count}")
    if objects.size(CONTENTS) is None:
        probe(objects)  # before minutes of rendering
        write = write_things if labelled else partial(write_collection, biased=True)
        _render(objects, partial(write, count=count, seed=seed))
    return open_collection(objects.url)


def _render(objects: Objects, write: Callable[[Path], None]) -> None:
    """Render the scenes into the store. Their records come last: with them, the collection is complete."""
    with tempfile.TemporaryDirectory(prefix="clipneuron-") as folder:
        write(Path(folder))
        pictures = sorted(path for path in Path(folder).iterdir() if path.name != CONTENTS)
        with ThreadPoolExecutor(_UPLOADS) as pool:
            list(pool.map(lambda path: objects.put(path.name, path.read_bytes()), pictures))
        objects.put(CONTENTS, (Path(folder) / CONTENTS).read_bytes())


def _class_names(asked: Evaluation, pictures: Collection) -> tuple[str, ...]:
    known = pc.unique(pictures.listing["label"]).drop_null().to_pylist()
    if not known:
        raise ValueError(
            f"the pictures of {asked.images} have no labels: put each class into a folder of its own, or state them "
            "in contents.jsonl or a Parquet column (docs/collections.md)"
        )
    if asked.classes == "labels":
        return _names_of_labels(asked, pictures, max(known))
    names = class_names_in(asked.classes)
    if max(known) >= len(names) or (pictures.by_name and len(known) != len(names)):
        raise ValueError(
            f"{asked.images} has {len(known)} classes with labels up to {max(known)}, but --classes {asked.classes} "
            f"names {len(names)}: give a file with one name per line in the order of the labels"
        )
    return names


def _names_of_labels(asked: Evaluation, pictures: Collection, last: int) -> tuple[str, ...]:
    missing = [label for label in range(last + 1) if label not in pictures.label_names]
    if missing:
        raise ValueError(
            f"{asked.images} has no name for {len(missing)} of its labels, such as {missing[0]}: give --classes, a "
            "file with one name per line in the order of the labels"
        )
    return tuple(pictures.label_names[label] for label in range(last + 1))


def _pool(spec: str, recipe: Recipe, classes: Sequence[str]) -> Pool:
    kind, _, answers = spec.partition(":")
    if kind != CLASS_DESCRIPTIONS:
        return texts_of(recipe.model_copy(update={"pool": spec}))
    if not answers and recipe.evaluation.images != "demo":
        raise ValueError(
            f"who describes the classes? Give the pool as {CLASS_DESCRIPTIONS}:ANSWERS.jsonl; `clipneuron "
            "class-prompts` writes the prompts that it answers"
        )
    captioner = AnswersFile(answers) if answers else GrammarCaptioner()
    distinct = tuple(dict.fromkeys(classes))  # two of ImageNet's names stand for two classes each
    return pool_of(CLASS_DESCRIPTIONS, descriptions(captioner, distinct).texts)


def thinned(collection: Collection, every: int, limit: int) -> Collection:
    """Every n-th picture, at most `limit` of them, numbered anew."""
    kept = range(0, len(collection), every)
    kept = kept[:limit] if limit else kept
    if len(kept) == len(collection):
        return collection
    listing = collection.listing.take(pa.array(kept, pa.int64()))
    numbers = pa.array(range(len(kept)), pa.int64())
    listing = listing.set_column(listing.schema.get_field_index("index"), "index", numbers)
    exact = f"{collection.digest} {len(kept)} pictures, every {every if len(kept) > 1 else 1}"
    return replace(collection, listing=listing, digest=hashlib.sha256(exact.encode()).hexdigest())
