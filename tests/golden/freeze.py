"""What must stay as it is: a run's fingerprint, its stages' names and the contents of its tables.

`python -m tests.golden.freeze` writes frozen.json anew; do so only for a change that the changelog states.
"""

import hashlib
import io
import json
import platform
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from rich.console import Console

from clipneuron.attack.pipeline import AttackLine
from clipneuron.config.named import named_recipe
from clipneuron.engine.runner import Runner
from clipneuron.engine.stage import Stage
from clipneuron.evidence.pipeline import Reproduction
from clipneuron.readers.sweep import Planned
from clipneuron.store.store import Run, Store
from clipneuron.sweep.pipeline import Sweep

FILE = Path(__file__).with_name("frozen.json")
SMALL = {"limit": 48, "top": 6, "layers": (0, 4)}
EVALUATION = {"limit": 24, "detail_layers": (4,), "indirect_neurons": 4, "indirect_images": 8}
ATTACK = {"pairs": ("horse:automobile",), "repeats": 1}


def machine() -> str:
    """What the last bits of a float depend on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    told = "".join(
        dict.fromkeys(line for line in lines if line.startswith(("model name", "flags")))
    )
    processor = hashlib.sha256((told or platform.processor()).encode()).hexdigest()[:8]
    return f"torch {torch.__version__}, numpy {np.__version__}, processor {processor}"


def frozen(folder: Path) -> dict[str, Any]:
    """Everything that is frozen, of a small demo run in the folder; on one thread."""
    store, runner = Store(folder), Runner(console=Console(file=io.StringIO()))
    recipe = named_recipe("demo", {**SMALL, "evaluation": EVALUATION, "attack": ATTACK})
    sweep = Sweep.of(recipe, store)
    run, _ = sweep.run(runner)
    attack, reproduction = AttackLine.of(recipe, store), Reproduction.of(recipe, store)
    planned = Planned.of(run)
    runner.run([reproduction.stages(planned).plan], run)
    return {
        "machine": machine(),
        "run": run.name,
        "stages": {
            "sweep": _names(sweep.stages(planned).all),
            "reproduce": _names(reproduction.stages(planned).all),
            "attack": _names(attack.stages(planned).all),
        },
        "tables": _tables(run),
    }


def _names(stages: Sequence[Stage]) -> list[str]:
    return [stage.name for stage in stages]


def _tables(run: Run) -> dict[str, Mapping[str, Any]]:
    """Per table of the sweep: a digest of its contents, and of each column of floats the sum of its magnitudes."""
    found = {}
    for stage in run.stages():
        names = {
            stored.table for commit in run.committed(stage).values() for stored in commit.objects
        }
        for name in sorted(names):
            table = run.read(stage, name).combine_chunks()
            found[f"{stage.partition('-')[0]}/{name}"] = {
                "sha256": _digest(table),
                "rows": table.num_rows,
                "magnitudes": _magnitudes(table),
            }
    return found


def _digest(table: pa.Table) -> str:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema.remove_metadata()) as writer:
        writer.write_table(table)
    return hashlib.sha256(sink.getvalue()).hexdigest()


def _magnitudes(table: pa.Table) -> dict[str, float]:
    found = {}
    for name in table.column_names:
        values = table[name].combine_chunks()
        while pa.types.is_list(values.type) or pa.types.is_fixed_size_list(values.type):
            values = values.drop_null().flatten()
        if pa.types.is_floating(values.type):
            numbers = values.drop_null().to_numpy(zero_copy_only=False).astype(np.float64)
            found[name] = float(np.abs(numbers).sum())
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        FILE.write_text(json.dumps(frozen(Path(place)), indent=1) + "\n")
