"""What an attack names, found: its pairs of classes, who writes, who paints, and who knows synonyms.

Captioners and painters are small until they are first asked; they travel to the workers that load them.
torch is imported only with what needs it, so that wrong names are answered without it.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from clipneuron.config.attack import PAIRS, Attack
from clipneuron.config.recipe import Recipe
from clipneuron.data.text_pools import open_pool
from clipneuron.demo.grammar import GrammarCaptioner
from clipneuron.demo.painter import SceneTruth
from clipneuron.demo.things import CLASSES
from clipneuron.models.language.captioner import AnswersFile, Captioner, Sampling
from clipneuron.models.language.http import HttpCaptioner
from clipneuron.models.snapshots import snapshot_name
from clipneuron.sweep.inputs import check as check_sweep
from clipneuron.sweep.inputs import class_names_in
from clipneuron.tables.experiments import Pair

if TYPE_CHECKING:
    from clipneuron.attack.witness import Witness


def check(recipe: Recipe) -> None:
    """Raises ValueError for what can be seen to be wrong or missing without a model."""
    check_sweep(recipe)
    asked = recipe.attack
    classes = () if asked.classes == "imagenet" else classes_of(asked)
    for spec in asked.pairs:
        if spec != "all":
            _named(spec, asked, recipe.seed)
        elif classes:
            _check_some(classes)
    _light_captioner(asked)
    blocked_of(asked)
    if asked.witness:
        _check_witness(recipe)


def _check_witness(recipe: Recipe) -> None:
    from clipneuron.models.clip.checkpoints import check_named, named_in

    model, pretrained = named_in(recipe.attack.witness)
    check_named(model, pretrained)
    if (model.replace("/", "-"), pretrained) == (
        recipe.model.replace("/", "-"),
        recipe.pretrained,
    ):
        raise ValueError(
            f"the witness {recipe.attack.witness} is the very model that is attacked, and would see what fooled it: "
            "name another with `attack.witness`"
        )


def classes_of(asked: Attack) -> tuple[str, ...]:
    """All classes of the attack; raises ValueError."""
    return CLASSES if asked.classes == "cifar10" else class_names_in(asked.classes)


def pairs_of(asked: Attack, seed: int) -> tuple[Pair, ...]:
    """The pairs in the order they are named, each once.

    `all` gives every class one other class, along a random order that the seed draws. Raises ValueError.
    """
    named = [pair for spec in asked.pairs for pair in _named(spec, asked, seed)]
    if not named:
        raise ValueError(
            "there is no pair to attack: give `attack.pairs`, such as horse:automobile"
        )
    return tuple(dict.fromkeys(named))


def captioner_of(asked: Attack) -> Captioner:
    """Who writes the captions; raises ValueError."""
    light = _light_captioner(asked)
    if light:
        return light
    from clipneuron.models.language.transformers import TransformersCaptioner

    return TransformersCaptioner(asked.captioner, sampling=sampling_of(asked))


def sampling_of(asked: Attack) -> Sampling:
    """How the captioner draws its words, and what it is not told."""
    return Sampling(
        temperature=asked.temperature,
        top_p=asked.top_p,
        max_new_tokens=asked.max_tokens,
        omit=frozenset(asked.omit),
    )


def witness_of(asked: Attack, classes: Sequence[str]) -> "Callable[[], Witness] | None":
    """Who suggests what the pictures show, as a loader; None for nobody."""
    if asked.witness:
        from clipneuron.attack.witness import OtherClip
        from clipneuron.models.clip.checkpoints import named_in
        from clipneuron.models.clip.model import IMAGENET_TEMPLATES, load_clip

        loader = partial(load_clip, *named_in(asked.witness))
        return partial(OtherClip.loaded, loader, tuple(classes), IMAGENET_TEMPLATES)
    return SceneTruth if asked.painter == "demo" else None


def witness_name(asked: Attack) -> str:
    """What tells apart witnesses that could answer differently: of files their contents, not where they lie."""
    model, _, pretrained = asked.witness.partition(":")
    parts = [
        snapshot_name(part) if Path(part).exists() else part for part in (model, pretrained) if part
    ]
    return ":".join(parts) or "scene-truth"


def blocked_of(asked: Attack) -> frozenset[str]:
    """Words that no caption is asked for; raises ValueError."""
    words = frozenset(open_pool(asked.blocked).texts) if asked.blocked else frozenset()
    if empty := sorted(word for word in words if not any(map(str.isalnum, word))):
        raise ValueError(
            f"`attack.blocked` {asked.blocked} has {empty[0]!r}, which is the name of nothing: expected a word per line"
        )
    return words


def _light_captioner(asked: Attack) -> Captioner | None:
    """Who writes the captions, unless that is a model of this machine's; raises ValueError."""
    kind, _, rest = asked.captioner.partition(":")
    if asked.captioner == "demo":
        return GrammarCaptioner()
    if kind == "answers":
        return AnswersFile(rest)
    if kind not in ("http", "https"):
        if untold := sorted({*asked.omit} - {"system"}):
            raise ValueError(
                f"{', '.join(untold)}: only a service (http://HOST/v1#MODEL) can be left to its own, not a model of "
                "this machine; of `attack.omit` it takes system"
            )
        return None
    url, _, model = asked.captioner.partition("#")
    if not model:
        raise ValueError(
            f"which model answers at {url}? Give it behind a #, such as {url}#llama-3-8b-instruct"
        )
    return HttpCaptioner(url, model, sampling=sampling_of(asked), limit_field=asked.limit_field)


def _named(spec: str, asked: Attack, seed: int) -> Sequence[Pair]:
    if spec == "all":
        return _around(classes_of(asked), seed)
    if spec in PAIRS:
        return [_pair(pair) for pair in PAIRS[spec]]
    if ":" not in spec and Path(spec).is_file():
        return [_pair(line) for line in open_pool(spec).texts]
    return [_pair(spec)]


def _pair(text: str) -> Pair:
    first, colon, second = (part.strip() for part in text.partition(":"))
    if not (colon and first and second) or first == second or ":" in second:
        raise ValueError(
            f"{text!r} is no pair of classes: expected c1:c2 such as horse:automobile, one of "
            f"{', '.join(PAIRS)}, all, or a file with a pair per line"
        )
    return first, second


def _around(classes: Sequence[str], seed: int) -> Sequence[Pair]:
    import torch

    _check_some(classes)
    order = torch.randperm(len(classes), generator=torch.Generator().manual_seed(seed)).tolist()
    taken_for = dict(zip(order, [*order[1:], order[0]], strict=True))
    return [(name, classes[taken_for[place]]) for place, name in enumerate(classes)]


def _check_some(classes: Sequence[str]) -> None:
    if len(classes) < 2:
        raise ValueError(f"pairs need at least 2 classes, not {len(classes)}")
