"""An attack's report: Table 3 in its several countings, and the pictures that convince the model most."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clipneuron.attack.results import AttackResults
from clipneuron.attack.review.deck import ReviewKeys
from clipneuron.attack.sheet import Convincing, convincing, fooling_sheet
from clipneuron.attack.table3 import Table3
from clipneuron.reports.drawing import png
from clipneuron.store import reports
from clipneuron.store.run import Run

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class AttackReport:
    """What a finished attack shows, read from the run's tables alone."""

    results: AttackResults
    table3: Table3
    convincing: dict[str, list[Convincing]]
    """By pair of classes, the pictures of largest margin."""

    @classmethod
    def of(cls, run: Run, results: AttackResults) -> "AttackReport":
        """Read the tables; raises StoreError where they are not complete."""
        keys = review_keys(results)
        table3 = Table3.of(run, keys, comparable=results.comparable)
        return cls(results, table3, convincing(run, keys))

    def tables(self) -> "Sequence[Table]":
        """Table 3 for a terminal."""
        return self.table3.tables()

    def best(self) -> Iterator[tuple[str, Convincing]]:
        """The most convincing picture of each pair."""
        return ((pair, rows[0]) for pair, rows in self.convincing.items())

    def files(self) -> dict[str, bytes]:
        """The report's files, by name."""
        files = self.table3.files()
        if self.convincing:
            title = f"{self.results.model}: fooled most"
            files["fooling.png"] = png(fooling_sheet(self.convincing, title))
        return files

    def write(self, run: Run) -> dict[str, str]:
        """Put the files into the run; where each is."""
        return reports.put(run, self.results, self.files())


def review_keys(results: AttackResults) -> ReviewKeys:
    """The stages that the review and the report read."""
    return ReviewKeys(results.pictures, results.verdicts, results.screening)
