"""What a segmentation names, found: pictures, their masks, and the classes that have a text."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clipneuron.config.recipe import Recipe
from clipneuron.config.segmentation import Segmentation
from clipneuron.config.values.protocols import Protocol
from clipneuron.data.columns import Columns
from clipneuron.data.masks.maps import Masks
from clipneuron.data.masks.names import names_in
from clipneuron.data.masks.opening import check_masks, kind_of, open_masks, open_with_pictures
from clipneuron.data.opening import Collection, check_place
from clipneuron.demo.scene_masks import scene_masks
from clipneuron.demo.things import THINGS
from clipneuron.reports.quantities import counted, in_words
from clipneuron.store.objects.protocol import Objects
from clipneuron.sweep.inputs import (
    DEMO_PICTURES,
    Rendered,
    check_texts,
    class_names_in,
    columns_of,
    open_pictures,
    picked,
    thinned,
)
from clipneuron.sweep.inputs import check as check_sweep

NO_CLASS = ("no_mask", "no_object")
"""Statuses of pictures that have nothing to look for: they are left out, and counted."""


def check(recipe: Recipe) -> None:
    """Raises ValueError for what can be seen to be missing without a model."""
    check_sweep(recipe)
    asked = recipe.segmentation
    check_named(asked)
    if asked.images not in ("", "demo"):
        check_place(asked.images)
    if asked.masks != "demo":
        check_masks(asked.masks, asked.mask_kind)
    _names_of(asked)
    if asked.classes not in ("masks", "imagenet", "demo"):
        class_names_in(asked.classes)
    check_templates(asked)


def check_templates(asked: Segmentation) -> None:
    """Raises ValueError for templates that are not there."""
    if asked.templates not in ("imagenet", "demo"):
        check_texts(asked.templates)


def check_named(asked: Segmentation) -> None:
    """Raises ValueError where pictures or masks are not named."""
    if not asked.masks:
        raise ValueError(
            "maps are judged by masks: name some with `segmentation.masks` (docs/segment.md says which kinds there are)"
        )
    if _brings_pictures(asked):
        if asked.images:
            raise ValueError(
                f"{asked.masks} brings its own pictures: leave `segmentation.images` out"
            )
    elif not asked.images:
        raise ValueError("which pictures are the masks of? Name them with `segmentation.images`")
    elif "demo" in (asked.images, asked.masks) and asked.images != asked.masks:
        raise ValueError(
            "the masks of the demo world are of its own scenes: `segmentation.images` and `segmentation.masks` are "
            f"both demo, or neither, not {asked.images} and {asked.masks}"
        )


class Evaluated(NamedTuple):
    """What maps are judged on."""

    pictures: Collection
    """Those that have a mask of a class with a text, or one that cannot be used."""
    masks: Masks
    listing: pa.Table
    """The masks' rows of these pictures, without classes that have no text."""
    classes: tuple[str, ...]
    left_out: tuple[str, ...]
    """What is not judged, and why, in words."""

    @property
    def maps(self) -> int:
        """How many pairs of a picture and a class there are."""
        return int(pc.sum(pc.equal(self.listing["status"], "ok")).as_py() or 0)


def evaluated_of(recipe: Recipe, store: Objects) -> Evaluated:
    """The pictures, masks and classes of a recipe; raises ValueError where nothing is left to judge maps by."""
    asked = recipe.segmentation
    check_named(asked)
    whole, masks = _masked_pictures(recipe, store)
    classes = classes_of(asked, masks)
    _check_control(asked, classes)
    return _selected(asked, whole, masks, classes)


def _masked_pictures(recipe: Recipe, store: Objects) -> tuple[Collection, Masks]:
    asked = recipe.segmentation
    names = _names_of(asked)
    if _brings_pictures(asked):
        return open_with_pictures(asked.masks, names)
    # The seeds of sweep, evaluation, explanation and segmentation follow each other: no two have a scene in common.
    rendered = Rendered(recipe.seed + 3, asked.limit or DEMO_PICTURES, of_things=False)
    whole = open_pictures(asked.images, store, rendered, columns_of(asked, "segmentation"))
    if asked.masks == "demo":
        return whole, scene_masks(whole)
    columns = Columns.named("segmentation", asked.mask_column, "", "", "")
    return whole, open_masks(
        asked.masks, asked.mask_kind, whole, names, columns=columns, store=store.url
    )


def _names_of(asked: Segmentation) -> dict[str, str] | None:
    return names_in(asked.mask_names, "`segmentation.mask_names`") if asked.mask_names else None


def _brings_pictures(asked: Segmentation) -> bool:
    return asked.masks != "demo" and kind_of(asked.masks, asked.mask_kind) == "gtsegs"


def classes_of(asked: Segmentation, masks: Masks) -> tuple[str, ...]:
    """The names of the classes that have a text, each once; raises ValueError."""
    if asked.classes == "masks":
        return tuple(sorted(masks.class_names))
    if asked.classes == "demo":
        return tuple(thing.name for thing in THINGS)
    return tuple(dict.fromkeys(class_names_in(asked.classes)))


def _selected(
    asked: Segmentation, whole: Collection, masks: Masks, classes: Sequence[str]
) -> Evaluated:
    listing = masks.listing
    status = listing["status"]
    named = pc.is_in(listing["class_name"], value_set=pa.array(classes, pa.string()))
    good = pc.equal(status, "ok")
    nothing = pc.is_in(status, value_set=pa.array(NO_CLASS))
    usable = listing.filter(pc.and_(good, named))
    if not usable.num_rows:
        raise ValueError(_nothing_left(asked, masks, classes))
    kept = listing.filter(pc.or_(pc.and_(good, named), pc.invert(pc.or_(good, nothing))))
    there = pc.is_in(whole.listing["image"], value_set=pc.unique(kept["image"]))
    places = np.flatnonzero(there.to_numpy())
    exact = hashlib.sha256(places.astype(np.int64).tobytes()).hexdigest()
    pictures = (
        picked(whole, places.tolist(), f"with masks: {exact}")
        if len(places) < len(whole)
        else whole
    )
    pictures = thinned(pictures, asked.every, asked.limit)
    own = kept.filter(pc.is_in(kept["image"], value_set=pc.unique(pictures.listing["image"])))
    nameless = listing.filter(pc.and_(good, pc.invert(named)))
    return Evaluated(
        pictures, masks, own, tuple(classes), tuple(_left_out(listing.filter(nothing), nameless))
    )


def _left_out(nothing: pa.Table, nameless: pa.Table) -> list[str]:
    said = []
    if nothing.num_rows:
        counts = Counter(nothing["status"].to_pylist())
        words = {"no_mask": "without a mask", "no_object": "whose mask shows no class"}
        said.append("pictures left out: " + in_words({words[key]: n for key, n in counts.items()}))
    if nameless.num_rows:
        names = pc.unique(nameless["class_name"]).to_pylist()
        said.append(
            f"masks left out, since no text names their class: {nameless.num_rows:,} of "
            f"{counted(len(names), 'classes')}, such as {names[0]!r}"
        )
    return said


def _nothing_left(asked: Segmentation, masks: Masks, classes: Sequence[str]) -> str:
    there = masks.class_names
    if not there:
        reasons = [reason for reason in masks.listing["reason"].to_pylist() if reason]
        why = f", such as {reasons[0]}" if reasons else ""
        return (
            f"no picture of {asked.images or asked.masks} has a mask in {asked.masks} that can be used{why}: check "
            "`segmentation.masks` and `segmentation.images`"
        )
    return (
        f"no text names a class of the masks, which are {', '.join(map(repr, there[:3]))}; texts are of "
        f"{', '.join(map(repr, classes[:3]))} ...: choose `segmentation.classes` 'masks' or a file with these names, "
        "or name the masks' values with `segmentation.mask_names`"
    )


def _check_control(asked: Segmentation, classes: Sequence[str]) -> None:
    texts = {Protocol.named(name).text for name in asked.protocols}
    if len(classes) < 2 and texts - {"given"}:
        raise ValueError(
            f"there is one class alone, {classes[0] if classes else 'none'!r}, so that none can be predicted or wrong: "
            "name more with `segmentation.classes`, or keep to protocols that begin with given/ "
            "(`segmentation.protocols`)"
        )
