"""Options that several commands share, and what their texts mean."""

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # torch comes with the recipes, Arrow with the store: --help is spared both
    from clipneuron.config.recipe import Recipe
    from clipneuron.store.store import Run

RECIPE_FIELDS = (
    "images",
    "model",
    "pretrained",
    "layers",
    "split",
    "normalize",
    "top",
    "pool",
    "preparation",
    "atoms",
    "every",
    "limit",
    "shard_size",
    "batch_size",
    "dtype",
    "device",
    "text_activation",
)

EVALUATION_FIELDS = (
    "images",
    "every",
    "limit",
    "classes",
    "templates",
    "detail_layers",
    "pools",
    "sizes",
    "reconstruction",
    "indirect_neurons",
    "indirect_images",
    "neurons",
)

ATTACK_FIELDS = (
    "pairs",
    "classes",
    "methods",
    "repeats",
    "layers",
    "neurons",
    "words",
    "rule",
    "sentences",
    "similarity",
    "blocked",
    "captioner",
    "captioner_memory",
    "captions",
    "chosen",
    "painter",
    "painter_memory",
    "offload",
    "each",
    "witness",
)


def add_command(
    commands: Any, name: str, does: str, function: Any, **more: Any
) -> argparse.ArgumentParser:
    """The parser of one command, which runs `function`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=does,
        description=does[0].upper() + does[1:] + ".",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **more,
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("-v", "--verbose", action="store_true", help="log a line per shard")
    parser.set_defaults(command=function)
    return parser


def add_store(parser: argparse.ArgumentParser) -> None:
    """`--store`."""
    parser.add_argument(
        "--store", required=True, help="where runs are: a folder, or s3://bucket/prefix"
    )


def add_run_name(parser: argparse.ArgumentParser, otherwise: str = "the only one there") -> None:
    """`--store` and `--run`."""
    add_store(parser)
    parser.add_argument(
        "--run", default="", help=f"name of the run, or how it begins (default: {otherwise})"
    )


def chosen_run(chosen: argparse.Namespace) -> "Run":
    """The run that `--store` and `--run` name; raises ValueError where they leave a choice, or none."""
    from clipneuron.store.store import Store

    store = Store(chosen.store)
    if chosen.run:
        return store.find_run(chosen.run)
    runs = store.runs()
    if len(runs) == 1:
        return runs[0]
    if not runs:
        raise ValueError(f"there is no run in {store.objects.url} yet: check --store")
    names = ", ".join(run.name for run in runs)
    raise ValueError(f"{store.objects.url} has {len(runs)} runs: give --run, one of {names}")


def add_recipe(parser: argparse.ArgumentParser) -> None:
    """`--recipe`, `--extend` and the fields of a recipe."""
    parser.add_argument(
        "--recipe", help="demo, vit_b_32, vit_l_14, or a JSON file with a recipe's fields"
    )
    parser.add_argument(
        "--extend",
        default="",
        metavar="RUN",
        help="go on with this run on a collection that has grown since",
    )
    group: Any = parser.add_argument_group("what to compute (in place of the recipe's fields)")
    group.add_argument(
        "--images", help="folder, picture, Parquet or tar files, here or under s3://"
    )
    group.add_argument("--model", help="open_clip architecture, local model folder, or demo")
    group.add_argument("--pretrained", help="open_clip tag, or a checkpoint file")
    group.add_argument(
        "--layers",
        type=layers,
        help="MLP layers, 0-based: 8,9,10 or 6-9 (default: all but the last)",
    )
    group.add_argument(
        "--split", choices=("equal", "centered"), help="layer-norm split (default: equal)"
    )
    group.add_argument(
        "--no-normalize",
        dest="normalize",
        action="store_false",
        default=None,
        help="do not divide effects by |M_image(I)|",
    )
    group.add_argument(
        "--top", type=int, help="top effects per neuron that give its direction (the paper: 100)"
    )
    group.add_argument("--pool", help="demo, words-10k, words-30k, words-N, a text file or a URL")
    group.add_argument(
        "--preparation", choices=("unit", "centered", "authors"), help="of the pool's embeddings"
    )
    group.add_argument("--atoms", type=int, help="texts per neuron (the paper: up to 128)")
    group.add_argument("--every", type=int, help="use every n-th picture")
    group.add_argument("--limit", type=int, help="use at most this many pictures; 0 means all")
    group.add_argument("--shard-size", type=int, help="pictures per commit")
    group.add_argument("--batch-size", type=int, help="pictures per forward pass")
    group.add_argument("--dtype", choices=("float32", "bfloat16"), help="of the model")
    group.add_argument(
        "--text-activation",
        choices=("trained", "gelu"),
        help="gelu: exact GELU in the text tower, as the authors' program encodes texts (default: trained)",
    )
    group.add_argument("--device", help="auto (a GPU if there is one), cpu, cuda, cuda:1 ...")


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Where to compute, with how much, and when to give up."""
    group: Any = parser.add_argument_group("where to compute")
    group.add_argument(
        "--engine",
        choices=("ray", "in-process"),
        default="ray",
        help="a Ray cluster (one is started here if there is none), or this process alone (default: ray)",
    )
    group.add_argument(
        "--address",
        default="",
        help="of a Ray cluster, host:port or auto (default: inside a job its cluster, else one started here)",
    )
    group.add_argument(
        "--actors", type=positive, default=0, help="model actors (default: one per GPU)"
    )
    group.add_argument(
        "--actor-cpus", type=float, default=0, help="cores of an actor, which are its threads"
    )
    group.add_argument(
        "--actor-gpus", type=float, default=-1, help="GPUs of an actor; 0.5 puts two on a GPU"
    )
    group.add_argument(
        "--decoders",
        type=positive,
        default=0,
        help="tasks that decode at a time (default: free cores)",
    )
    group.add_argument(
        "--wait",
        type=float,
        default=0,
        help="seconds to wait for nodes that still start (default: 0)",
    )
    group.add_argument(
        "--attempts",
        type=positive,
        default=3,
        help="failed attempts after which a shard is set aside (default: 3)",
    )
    group.add_argument(
        "--max-failed-share",
        type=share,
        default=0.1,
        metavar="SHARE",
        help="give up when more pictures than this cannot be used (default: 0.1)",
    )


def recipe_of(chosen: argparse.Namespace) -> "Recipe":
    """The recipe by name or file, with the options of the command line in its place; raises ValueError."""
    from pydantic import ValidationError

    from clipneuron.config.named import named_recipe

    given = _given(chosen, {field: field for field in RECIPE_FIELDS}) | nested_fields(chosen)
    try:
        return named_recipe(chosen.recipe, given)
    except ValidationError as error:
        lines = [_fault(item) for item in error.errors()]
        raise ValueError("the recipe does not hold together:\n  " + "\n  ".join(lines)) from error


def nested_fields(chosen: argparse.Namespace) -> dict[str, Any]:
    """What the command line says of the evaluation and of the attack."""
    nested = {"evaluation": EVALUATION_FIELDS, "attack": ATTACK_FIELDS}
    found = {
        name: _given(chosen, {field: f"{name}_{field}" for field in fields})
        for name, fields in nested.items()
    }
    return {name: own for name, own in found.items() if own}


def recipe_of_run(run: "Run", options: Mapping[str, Any]) -> "Recipe":
    """The recipe of the run's last command, with these options in its place where they say something.

    Raises ValueError where the run was not begun by a recipe.
    """
    from clipneuron.config.named import over
    from clipneuron.config.recipe import Recipe

    order = run.announced()
    fields = (order.details if order else run.record.details).get("recipe")
    if fields is None:
        raise ValueError(f"run {run.name} does not say by which recipe it was begun: it has none")
    return Recipe(**over(fields, {name: value for name, value in options.items() if value}))


def _given(chosen: argparse.Namespace, options: Mapping[str, str]) -> dict[str, Any]:
    """What the command line says of these fields, each under the option of its name."""
    values = {field: getattr(chosen, option, None) for field, option in options.items()}
    return {field: value for field, value in values.items() if value is not None}


def _fault(item: Any) -> str:
    """What is wrong with one field of a recipe, and how it is given."""
    field = ".".join(map(str, item["loc"]))
    if item["type"] == "missing":
        return f"{field}: give it with --{field}, or take a --recipe that has it"
    return f"{field}: {item['msg']}, not {item['input']!r}"


def share(text: str) -> float:
    """A number from 0 to 1."""
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text} is no share: expected a number from 0 to 1")
    return number


def positive(text: str) -> int:
    """A count of at least one."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is too few: expected 1 or more")
    return number


def layers(text: str) -> tuple[int, ...]:
    """`8,9,10`, `6-9` or a mixture."""
    found: list[int] = []
    try:
        for part in text.split(","):
            first, dash, last = part.partition("-")
            asked = range(int(first), int(last if dash else first) + 1)
            if not asked:
                raise ValueError(part)
            found += asked
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no list of layers: expected 8,9,10 or 6-9"
        ) from None
    return tuple(found)
