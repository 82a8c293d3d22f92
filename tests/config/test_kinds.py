"""The kinds that `--until` takes are those of the stages that there are."""

import json
from pathlib import Path

import pytest

from clipneuron.config import kinds

FROZEN = json.loads((Path(__file__).parents[1] / "golden" / "frozen.json").read_text())["stages"]
LINES = {"sweep": kinds.SWEEP, "reproduce": kinds.EVIDENCE, "attack": kinds.ATTACK}


def kind_of(stage: str, known: tuple[str, ...]) -> str:
    """The longest kind that the stage's name begins with."""
    found = [kind for kind in known if f"{stage}-".startswith(f"{kind}-")]
    return max(found, key=len, default=f"none of {stage}")


@pytest.mark.parametrize("line", LINES)
def test_every_stage_is_of_a_kind_and_every_kind_has_a_stage(line):
    found = [kind_of(stage, LINES[line]) for stage in FROZEN[line]]
    assert set(found) == set(LINES[line])
