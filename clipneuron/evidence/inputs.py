"""What an evaluation names, found: labelled pictures, class names, templates and pools."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import pyarrow.compute as pc

from clipneuron.config.evaluation import Evaluation
from clipneuron.config.recipe import Recipe
from clipneuron.data.opening import Collection, check_place
from clipneuron.data.text_pools import Pool, pool_of
from clipneuron.demo.grammar import GrammarCaptioner
from clipneuron.evidence.class_descriptions import descriptions
from clipneuron.evidence.classes import Join, joined
from clipneuron.models.clip.synsets import imagenet_synsets
from clipneuron.models.language.captioner import AnswersFile, Captioner
from clipneuron.reports.quantities import in_words
from clipneuron.store.objects.protocol import Objects
from clipneuron.sweep.inputs import (
    DEMO_PICTURES,
    LEAST_TEXTS,
    Rendered,
    check_texts,
    class_names_in,
    columns_of,
    open_pictures,
    texts_of,
    thinned,
)
from clipneuron.sweep.inputs import check as check_sweep

CLASS_DESCRIPTIONS = "class-descriptions"
"""The pool that a language model makes of the class names (Table 7)."""


def check(recipe: Recipe) -> None:
    """Raises ValueError for what can be seen to be missing without a model."""
    check_sweep(recipe)
    asked = recipe.evaluation
    _check_named(asked)
    check_labelled(recipe)
    if asked.templates != "imagenet":
        check_texts(asked.templates)
    for spec in asked.pools:
        if _is_described(spec):
            _describer(spec, asked)
        else:
            check_texts(spec, LEAST_TEXTS)


class Labelled(NamedTuple):
    """The pictures of an evaluation with their classes."""

    pictures: Collection
    """Labelled by the places of their classes among the names."""
    join: Join
    """Their labels and the names of the classes."""
    whole: Collection
    """All pictures, with the labels that they had before."""


def check_labelled(recipe: Recipe) -> None:
    """Raises ValueError for labelled pictures or a list of classes that can be seen to be missing."""
    asked = recipe.evaluation
    if asked.images not in ("", "demo"):
        check_place(asked.images)
    if asked.classes not in ("labels", "imagenet"):
        class_names_in(asked.classes)


def labelled_pictures_of(recipe: Recipe, store: Objects) -> Labelled:
    """The pictures of the recipe's evaluation and the names of their classes.

    Those of the demo world show one thing each and are other scenes than those of the sweep. Raises ValueError for
    pictures without labels and for class names that do not fit them.
    """
    asked = recipe.evaluation
    _check_named(asked)
    columns = columns_of(asked, "evaluation")
    # The seed after the sweep's: the scenes of two seeds are never the same.
    rendered = Rendered(recipe.seed + 1, asked.limit or DEMO_PICTURES, of_things=True)
    whole = open_pictures(asked.images, store, rendered, columns)
    join = _join(asked, whole)
    pictures = thinned(join.applied(whole), asked.every, asked.limit)
    return Labelled(pictures, join, whole)


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


def _check_named(asked: Evaluation) -> None:
    if not asked.images:
        raise ValueError(
            "the evidence needs labelled pictures: give `evaluation.images`, such as ImageNet's validation folder"
        )


def _join(asked: Evaluation, pictures: Collection) -> Join:
    known = pc.unique(pictures.listing["label"]).drop_null().to_pylist()
    if not known:
        why = f" ({pictures.unlabelled})" if pictures.unlabelled else ""
        raise ValueError(
            f"the pictures of {asked.images} have no labels{why}: put each class into a folder of its own, or "
            "state them "
            "in contents.jsonl or a Parquet column, named by `evaluation.label_column` (docs/collections.md)"
        )
    if asked.classes == "labels":
        names = _names_of_labels(asked, pictures, max(known))
        return Join("label", names, {label: label for label in known})
    ids = imagenet_synsets() if asked.classes == "imagenet" else ()
    what = f"{asked.images} and `evaluation.classes` {asked.classes}"
    return joined(pictures, class_names_in(asked.classes), ids, what)


def _names_of_labels(asked: Evaluation, pictures: Collection, last: int) -> tuple[str, ...]:
    missing = [label for label in range(last + 1) if label not in pictures.label_names]
    if missing:
        raise ValueError(
            f"{asked.images} has no name for {len(missing)} of its labels, such as {missing[0]}: give "
            "`evaluation.classes`, a file with one name per line in the order of the labels"
        )
    if not last:
        raise ValueError(
            f"all pictures of {asked.images} are of one class, {pictures.label_names[0]!r}, so that nothing can "
            "be taken "
            "for another: point `evaluation.images` at the folder whose sub-folders are the classes"
        )
    return tuple(pictures.label_names[label] for label in range(last + 1))


def _is_described(spec: str) -> bool:
    return spec.partition(":")[0] == CLASS_DESCRIPTIONS


def _pool(spec: str, recipe: Recipe, classes: Sequence[str]) -> Pool:
    if not _is_described(spec):
        return texts_of(recipe.model_copy(update={"pool": spec}))
    distinct = tuple(dict.fromkeys(classes))  # two of ImageNet's names stand for two classes each
    described = descriptions(_describer(spec, recipe.evaluation), distinct)
    # "duplicate of a text for cat" and the like are one reason, however many classes there are.
    reasons = Counter(each.reason.partition(" of a text for ")[0] for each in described.rejected)
    if not described.texts:
        why = in_words(reasons)
        raise ValueError(f"no description of a class in {spec} can be used ({why})")
    pool = pool_of(CLASS_DESCRIPTIONS, described.texts)
    return replace(pool, dropped={**pool.dropped, **reasons})


def _describer(spec: str, asked: Evaluation) -> Captioner:
    """Who describes the classes; raises ValueError."""
    answers = spec.partition(":")[2]
    if not answers and asked.images != "demo":
        raise ValueError(
            f"who describes the classes? Give the pool as {CLASS_DESCRIPTIONS}:ANSWERS.jsonl; `clipneuron "
            "class-prompts` writes the prompts that it answers"
        )
    return AnswersFile(answers) if answers else GrammarCaptioner()
