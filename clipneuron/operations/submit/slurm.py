"""An order as a script for Slurm's sbatch, which starts a Ray cluster over the allocation and does the work there.

`ray symmetric-run` starts a head on the first node and workers on the others, waits for all, runs the command on the
head and stops Ray again (ray.scripts.symmetric_run, Ray 2.60; docs.ray.io, "Deploying on Slurm"). It stops every Ray on
its nodes, hence `--exclusive`.
"""

import shlex
from collections.abc import Sequence

from clipneuron.operations.submit.orders import Order
from clipneuron.operations.submit.submission import STOPPED, USAGE

_PORT = 6379


def script(
    order: Order,
    *,
    nodes: int = 1,
    limit: float | None = None,
    retries: int = 0,
    options: Sequence[str] = (),
) -> str:
    """The script; `limit` is the allocation's time in seconds, `options` are further ones of sbatch.

    Raises ValueError for an option that is none, or of several lines.
    """
    lines = [
        "#!/bin/bash",
        *(f"#SBATCH {option}" for option in _options(order, nodes, limit, retries, options)),
        "",
        f"# {order.verb} as one job: a Ray cluster over this allocation, which ends with it. What is committed to the",
        "# store stays: the same script goes on from there.",
        "set -euo pipefail",
        "",
        *(f"export {name}={shlex.quote(value)}" for name, value in order.environment.items()),
        "# Whoever reaches the cluster's ports can run programs on it: only who knows this token.",
        "export RAY_AUTH_MODE=token",
        "RAY_AUTH_TOKEN=\"$(od -An -N32 -tx1 /dev/urandom | tr -d ' \\n')\"",
        "export RAY_AUTH_TOKEN",
        "export RAY_USAGE_STATS_ENABLED=0",
        "export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=600",
        "",
        'nodes="$(scontrol show hostnames "$SLURM_JOB_NODELIST")"',
        f"address=\"${{nodes%%$'\\n'*}}:{_PORT}\"",
        "status=0",
        'srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 \\',
        '    --cpus-per-task="$SLURM_CPUS_ON_NODE" --cpu-bind=none \\',
        '    ray symmetric-run --address "$address" --min-nodes "$SLURM_JOB_NUM_NODES" -- \\',
        f'    env RAY_ADDRESS="$address" {order.command} || status=$?',
        *_requeuing(retries),
        'exit "$status"',
    ]
    return "\n".join(lines) + "\n"


def _options(
    order: Order, nodes: int, limit: float | None, retries: int, options: Sequence[str]
) -> list[str]:
    for option in options:
        if not option.startswith("-") or len(option.splitlines()) != 1:
            raise ValueError(
                f"{option!r} is no option of sbatch: expected one such as --partition=gpu"
            )
    return [
        f"--job-name={order.verb}-{order.digest}",
        f"--nodes={nodes}",
        "--ntasks-per-node=1",
        "--exclusive",
        *([f"--time={max(1, round(limit / 60))}"] if limit is not None else []),
        *(["--requeue"] if retries else []),
        *options,
    ]


def _requeuing(retries: int) -> list[str]:
    """Put the job back into the queue where it failed in a way that another try may fix."""
    if not retries:
        return []
    return [
        f'if [ "$status" -ne 0 ] && [ "$status" -ne {USAGE} ] && [ "$status" -ne {STOPPED} ] \\',
        f'        && [ "${{SLURM_RESTART_COUNT:-0}}" -lt {retries} ]; then',
        '    scontrol requeue "$SLURM_JOB_ID"',
        "fi",
    ]
