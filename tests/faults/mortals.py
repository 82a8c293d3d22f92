"""Writers and painters that are killed in the middle of a batch, in a module without torch for their processes."""

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clipneuron.demo.grammar import GrammarCaptioner
from clipneuron.demo.painter import ScenePainter
from clipneuron.models.language.captioner import Prompt
from clipneuron.models.painting.painter import Order, Painted


def die_once(folder: Path, name: str) -> None:
    """A SIGKILL to this process, the first time that anybody comes here."""
    try:
        (folder / name).touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class MortalWriter:
    """The grammar, with a file for every prompt that it has answered; it dies before its fourth answer."""

    folder: Path
    name: str = GrammarCaptioner.name

    def __call__(self) -> "MortalWriter":
        return self

    def answers(self, prompts: Sequence[Prompt]) -> list[str]:
        if len(list(self.folder.glob("answered-*"))) == 3:
            die_once(self.folder, "died")
        for prompt in prompts:
            place = self.folder / f"answered-{prompt.subject}-{prompt.seed}"
            place.touch(exist_ok=False)  # whoever is asked the same twice fails
        return GrammarCaptioner().answers(prompts)


@dataclass(frozen=True)
class MortalPainter:
    """The scene painter, which dies in the middle of its third batch."""

    folder: Path
    name: str = ScenePainter.name

    def __call__(self) -> "MortalPainter":
        return self

    def paint(self, orders: Sequence[Order]) -> list[Painted]:
        batches = len(list(self.folder.glob("batch-*")))
        (self.folder / f"batch-{batches}-{os.getpid()}").touch()
        if batches >= 2:
            die_once(self.folder, "died")
        return ScenePainter().paint(orders)
