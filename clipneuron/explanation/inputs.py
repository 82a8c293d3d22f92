"""What an explanation names, found: held-out pictures, the witness, and the classes whose logits are watched."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from clipneuron.config.explanation import Explanation
from clipneuron.config.recipe import Recipe
from clipneuron.data.opening import Collection, check_place
from clipneuron.data.tags import digest_of, told_in
from clipneuron.demo.things import THINGS
from clipneuron.explanation import witness as witnesses
from clipneuron.models.clip.synsets import imagenet_synsets
from clipneuron.store.objects.protocol import Objects
from clipneuron.sweep.inputs import (
    DEMO_PICTURES,
    Rendered,
    check_texts,
    class_names_in,
    columns_of,
    open_pictures,
    picked,
    seen_in,
    thinned,
)
from clipneuron.sweep.inputs import check as check_sweep
from clipneuron.tables.halves import LEAST, half_of

if TYPE_CHECKING:  # these bring torch, which a mistyped path is spared
    from clipneuron.explanation.stages.statements import Tell
    from clipneuron.models.clip.model import Clip


def check(recipe: Recipe) -> None:
    """Raises ValueError for what can be seen to be missing without a model."""
    check_sweep(recipe)
    asked = recipe.explanation
    _check_named(recipe)
    if asked.images != "demo":
        check_place(asked.images)
    if asked.classes not in ("labels", "imagenet", "demo"):
        class_names_in(asked.classes)
    if asked.templates not in ("imagenet", "demo"):
        check_texts(asked.templates)
    if asked.hypernyms:
        hypernyms_in(asked.hypernyms)
    if "{}" not in asked.painted_caption:
        raise ValueError(
            f"`explanation.painted_caption` is {asked.painted_caption!r}: expected {{}} in it, in place of the word "
            "that is painted"
        )


class HeldOut(NamedTuple):
    """The pictures that words are judged on."""

    pictures: Collection
    swept: int
    """Pictures that were left out, since the sweep has seen them."""


def held_out_of(recipe: Recipe, store: Objects, swept: Collection) -> HeldOut:
    """The held-out pictures: those that are named, without those of the sweep.

    Those of the demo world are other scenes than those of the sweep and of the evaluation. Raises ValueError where they
    are the sweep's, or too few.
    """
    asked = recipe.explanation
    _check_named(recipe)
    # The seeds of sweep, evaluation and explanation follow each other: the scenes of two seeds are never the same.
    rendered = Rendered(scenes_seed(recipe), asked.limit or DEMO_PICTURES, of_things=False)
    whole = open_pictures(asked.images, store, rendered, columns_of(asked, "explanation"))
    kept = [place for place, known in enumerate(seen_in(swept, whole)) if not known]
    remedy = (
        "name other pictures with `explanation.images`, or sweep a part of them with `recipe.every`"
    )
    if not kept:
        raise ValueError(
            f"all {len(whole):,} pictures of {asked.images} were swept, and words that are judged by the pictures they "
            f"come from are flattered: {remedy}"
        )
    left = picked(whole, kept, "without those swept") if len(kept) < len(whole) else whole
    pictures = thinned(left, asked.every, asked.limit)
    _check_halves(asked, pictures, len(whole) - len(kept), remedy)
    return HeldOut(pictures, len(whole) - len(kept))


def scenes_seed(recipe: Recipe) -> int:
    """The seed of the demo world's held-out scenes."""
    return recipe.seed + 2


def _check_halves(asked: Explanation, pictures: Collection, swept: int, remedy: str) -> None:
    halves = [half_of(image) for image in pictures.listing["image"].to_pylist()]
    if min(halves.count("fit"), halves.count("score")) < LEAST:
        raise ValueError(
            f"{asked.images} leaves {len(pictures)} held-out pictures ({swept:,} were swept), of which "
            f"{halves.count('fit')} are to fit and {halves.count('score')} to score: expected at least {LEAST} "
            f"of each; {remedy}, or raise `explanation.limit`"
        )


@dataclass(frozen=True)
class StatedWitness:
    """A witness that needs no model."""

    name: str
    knows: str
    """A digest of what it goes by beside the pictures' own labels."""
    tell: "Tell"


@dataclass(frozen=True)
class ClipWitness:
    """Another CLIP than the one that is explained, by the similarity of its embeddings."""

    name: str
    clip: "Clip"


def witness_kind(asked: Explanation) -> str:
    """scenes, labels, tags, or clip."""
    if asked.witness in ("scenes", "labels", "tags"):
        return asked.witness
    if asked.witness:
        return "clip"
    if asked.tag_column:
        return "tags"
    return "scenes" if asked.images == "demo" else "labels"


def witness_of(recipe: Recipe, pictures: Collection, clip: "Clip") -> StatedWitness | ClipWitness:
    """Who says what is true of the pictures; raises ValueError for one that cannot, or that is the model itself."""
    asked = recipe.explanation
    kind = witness_kind(asked)
    if kind == "clip":
        return _other_clip(asked.witness, clip)
    if kind == "scenes":
        if asked.images != "demo":
            raise ValueError(
                f"the witness scenes knows the demo world only, not {asked.images}: name another with "
                "`explanation.witness`"
            )
        return scene_witness(scenes_seed(recipe))
    if kind == "tags":
        return tag_witness(pictures, asked.images, asked.tag_column, "`explanation.tag_column`")
    return _labels(asked, pictures)


def scene_witness(seed: int) -> StatedWitness:
    """The scenes of the demo world that a seed gives."""
    tell = partial(witnesses.scenes, seed)
    return StatedWitness("the scenes of the demo world", f"seed {seed}", tell)


def tag_witness(pictures: Collection, images: str, column: str, field: str) -> StatedWitness:
    """Tags or captions of the pictures at `images`, in a column that a `field` names; raises ValueError."""
    if not column:
        raise ValueError(f"which column has the tags or captions? Name it with {field}")
    told = told_in(pictures, column, field)
    digest = hashlib.sha256(digest_of(told).encode()).hexdigest()
    return StatedWitness(f"{column} of {images}", digest, partial(witnesses.tags, told))


def _labels(asked: Explanation, pictures: Collection) -> StatedWitness:
    names = [*pictures.label_names.values()]
    if not names:
        why = f" ({pictures.unlabelled})" if pictures.unlabelled else ""
        raise ValueError(
            f"who says what is true of the pictures of {asked.images}? They have no classes with names{why}: put each "
            "class into a folder of its own, name a column with `explanation.label_column` or "
            "`explanation.tag_column`, or another CLIP with `explanation.witness`"
        )
    return label_witness(names, asked.images, asked.hypernyms, "explanation")


def label_witness(names: Sequence[str], images: str, hypernyms: str, section: str) -> StatedWitness:
    """The names of the classes of the pictures at `images`, and what a file of `hypernyms`, if any, says of them.

    Raises ValueError, which names the field `hypernyms` of this section of a recipe.
    """
    terms = terms_of(names, hypernyms_in(hypernyms) if hypernyms else {}, section)
    digest = hashlib.sha256(json.dumps(terms, sort_keys=True).encode()).hexdigest()
    how = "labels and their hypernyms" if hypernyms else "labels"
    return StatedWitness(f"{how} of {images}", digest, partial(witnesses.labels, terms))


def terms_of(
    names: Sequence[str], hypernyms: Mapping[str, tuple[str, ...]], section: str
) -> dict[str, tuple[str, ...]]:
    """All that is true of a picture of each class: its name, that of the synset that it is the id of, and hypernyms.

    Raises ValueError for hypernyms of which no class is known.
    """
    called = _synset_names(names)
    found = {
        name: tuple(
            dict.fromkeys(
                [name, *called.get(name, ()), *hypernyms.get(name, ())]
                + [term for other in called.get(name, ()) for term in hypernyms.get(other, ())]
            )
        )
        for name in names
    }
    if hypernyms and not any({name, *called.get(name, ())} & {*hypernyms} for name in names):
        raise ValueError(
            f"`{section}.hypernyms` speaks of {', '.join(map(repr, [*hypernyms][:3]))}, and the classes are "
            f"{', '.join(map(repr, names[:3]))}: expected the names of classes before the tabs"
        )
    return found


def _synset_names(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """ImageNet's names of the classes that are called by their WordNet ids."""
    ids = imagenet_synsets()
    if not ids or not {*names} & {*ids}:
        return {}
    return {key: (name,) for key, name in zip(ids, class_names_in("imagenet"), strict=True)}


def hypernyms_in(path: str) -> dict[str, tuple[str, ...]]:
    """What a file says of classes: lines of a name or WordNet id, a tab, and words with commas between them.

    Raises ValueError for a file that cannot be read and a line of another form.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = file.read().split("\n")  # rarer separators may occur inside a word
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"can't read the hypernyms in {path}: {error}") from error
    found: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(lines, 1):
        name, tab, words = line.partition("\t")
        terms = tuple(word.strip() for word in words.split(",") if word.strip())
        if line.strip() and not (tab and name.strip() and terms):
            raise ValueError(
                f"{path}, line {number} is {line!r:.60}: expected a class, a tab, and words with commas between them, "
                "such as 'tabby<TAB>cat, feline, animal'"
            )
        if line.strip():
            found[name.strip()] = found.get(name.strip(), ()) + terms
    return found


def _other_clip(spec: str, clip: "Clip") -> ClipWitness:
    from clipneuron.models.clip.checkpoints import named_in
    from clipneuron.models.clip.model import load_clip

    other = load_clip(*named_in(spec))
    if other.digest == clip.digest:
        raise ValueError(
            f"the witness {spec} is the very model that is explained, and would find its own words true: name another "
            "with `explanation.witness`"
        )
    return ClipWitness(other.name, other)


def classes_of(recipe: Recipe, pictures: Collection) -> tuple[str, ...]:
    """The names of the classes whose logits are watched; none where pictures have no classes with names.

    Raises ValueError.
    """
    spec = recipe.explanation.classes
    if spec == "labels":
        names = tuple(dict.fromkeys(pictures.label_names.values()))
    elif spec == "demo":
        names = tuple(thing.name for thing in THINGS)
    else:
        names = tuple(dict.fromkeys(class_names_in(spec)))
    return names if len(names) > 2 else ()  # of two classes, ranks say next to nothing


def _check_named(recipe: Recipe) -> None:
    if not recipe.explanation.images:
        raise ValueError(
            "words are judged on pictures that were not swept: name some with `explanation.images`"
        )
    same = recipe.explanation.images == recipe.images != "demo"
    if same and recipe.every == 1 and not recipe.limit:
        raise ValueError(
            f"`explanation.images` are the swept ones, {recipe.images}, and words that are judged by the pictures they "
            "come from are flattered: name others, or sweep a part of them with `recipe.every`"
        )
