"""`clipneuron cluster size`: how many nodes let a sweep end in time, by the scale model of docs/scale.md."""

import argparse
from typing import TYPE_CHECKING, Any

from clipneuron.cli.options.parser import add_command
from clipneuron.cli.options.values import above_zero, one_of, positive, price
from clipneuron.cli.units import show_table
from clipneuron.reports.markup import terminal
from clipneuron.reports.printing import print
from clipneuron.reports.quantities import duration, size

if TYPE_CHECKING:
    from clipneuron.operations.sizing.proposals import Nodes, Proposal

EXAMPLES = """\
examples:
  clipneuron cluster size --model ViT-L-14 --images 1281167 --hours 2
      nodes, hours and bytes for ImageNet, on A100s whose rate docs/scale.md cites
  clipneuron cluster size --model ViT-B-32 --images 1281167 --hours 4 --gpu-rate 2500 --shard-size 8192
      with a rate that you have measured, and larger shards
  clipneuron cluster size --model ViT-B-32 --images 1281167 --hours 1 --calibrate-on 5000
      with means from 5,000 pictures, as `run --calibrate-on 5000` takes them: all are passed over once
  clipneuron cluster size --model ViT-L-14 --images 1281167 --hours 2 --clip-node-hour 4.10 --feeder-node-hour 2.86 \\
      --head-node-hour 0.40
      and in dollars, at your prices of a node for an hour
"""
MODELS, GPUS = ("ViT-B-32", "ViT-L-14"), ("A100", "RTX-4090")
PRICES = {
    "head_node_hour": "of the head for an hour",
    "clip_node_hour": "of a clip node for an hour",
    "feeder_node_hour": "of a feeder for an hour",
}


def add_commands(commands: Any) -> None:
    """cluster."""
    does = "propose a cluster for a sweep: nodes, hours, bytes and, at your prices, dollars"
    parser = add_command(commands, "cluster", does, cluster, epilog=EXAMPLES)
    parser.add_argument("what", type=one_of(("size",), "question"), metavar="{size}")
    parser.add_argument("--model", required=True, type=one_of(MODELS, "model"), metavar="MODEL")
    parser.add_argument("--images", required=True, type=positive, metavar="N", help="pictures")
    parser.add_argument("--hours", required=True, type=above_zero, help="in which it is to end")
    group: Any = parser.add_argument_group("what the nodes have (defaults: those of cluster.yaml)")
    group.add_argument("--gpu", type=one_of(GPUS, "GPU"), default="A100", metavar="GPU")
    group.add_argument(
        "--gpu-rate",
        type=above_zero,
        metavar="RATE",
        help="forward passes of the model per second and GPU, in place of the cited rate of --gpu",
    )
    group.add_argument("--node-gpus", type=positive, default=1, help="of a clip node (default: 1)")
    group.add_argument("--node-cores", type=positive, default=32, help="of a clip node (32)")
    group.add_argument("--feeder-cores", type=positive, default=64, help="of a feeder (64)")
    group.add_argument(
        "--start-minutes", type=price, default=10.0, help="until a node works (default: 10)"
    )
    group.add_argument(
        "--shard-size", type=positive, default=0, help="pictures per shard (default: the recipe's)"
    )
    group.add_argument(
        "--calibrate-on",
        type=positive,
        default=0,
        metavar="N",
        help="pictures that the means come from, so that all are passed over once (default: all, in two passes)",
    )
    group = parser.add_argument_group("prices, in any one currency (default: none)")
    for name, about in PRICES.items():
        option = "--" + name.replace("_", "-")
        group.add_argument(option, type=price, metavar="PRICE", help=about)


def cluster(chosen: argparse.Namespace) -> int:
    """`clipneuron cluster size`."""
    from clipneuron.operations.sizing import scale
    from clipneuron.operations.sizing.proposals import Nodes, in_words, proposal

    model = scale.MODELS[chosen.model]
    rate = chosen.gpu_rate or scale.GPUS[chosen.gpu][chosen.model]
    nodes = Nodes(chosen.node_gpus, chosen.node_cores, chosen.feeder_cores, chosen.start_minutes)
    found = proposal(
        model, chosen.images, chosen.hours, rate, nodes, chosen.shard_size, chosen.calibrate_on
    )
    print(in_words(found, nodes))
    rows = [*_figures(found, nodes, rate, chosen), *_costs(found, chosen)]
    show_table(terminal(f"{chosen.model}, {chosen.images:,} pictures", ("what", "figure"), rows))
    print(_notes(chosen))
    return 0


def _figures(
    found: "Proposal", nodes: "Nodes", rate: float, chosen: argparse.Namespace
) -> list[tuple[str, str]]:
    source = "given" if chosen.gpu_rate else f"cited, {chosen.gpu}"
    return [
        ("forward passes per second and GPU", f"{rate:,.0f} ({source})"),
        ("cores that keep one GPU busy", f"{found.cores_per_gpu:.1f}"),
        ("time, with the start of the nodes", duration(3600 * found.hours)),
        ("shards", f"{found.shards:,}"),
        ("written", size(found.written)),
    ]


def _costs(found: "Proposal", chosen: argparse.Namespace) -> list[tuple[str, str]]:
    counts = {
        "head_node_hour": 1,
        "clip_node_hour": found.clip_nodes,
        "feeder_node_hour": found.feeders,
    }
    lacking = [name for name, count in counts.items() if count and getattr(chosen, name) is None]
    if lacking:
        options = ", ".join("--" + name.replace("_", "-") for name in lacking)
        return [("nodes, for that time", f"give their prices: {options}")]
    hourly = sum(count * (getattr(chosen, name) or 0.0) for name, count in counts.items())
    return [
        ("nodes, for an hour", f"{hourly:,.2f}"),
        ("nodes, for that time", f"{hourly * found.hours:,.2f}"),
    ]


def _notes(chosen: argparse.Namespace) -> str:
    first = f"means of {chosen.calibrate_on:,} pictures and a pass over all"
    passes = first if chosen.calibrate_on else "both passes"
    lines = [
        f"{passes}, if the GPUs are fed; texts, merging, directions and descriptions come on top (docs/scale.md)",
    ]
    if not chosen.gpu_rate:
        lines.append(
            "cited rates are of half precision and large batches: a lower bound; give your own by --gpu-rate"
        )
    return "\n".join(lines)
