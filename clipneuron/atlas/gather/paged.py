"""What the stages that make pages have in common."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import pyarrow as pa

from clipneuron.atlas.gather.shared import About, Shared
from clipneuron.atlas.gather.sources import Compared, Sources
from clipneuron.engine.stage import Output, Resources, Stage, Upstream
from clipneuron.store.store import Run
from clipneuron.tables import registry as tables

File = tuple[str, bytes]
"""Its address in the site, and its content."""


@dataclass(frozen=True, kw_only=True)
class PagesStage(Stage):
    """What the four have in common."""

    sources: Sources
    about: About
    edition: str
    """Digest of what makes pages of cards: templates, style and the program."""
    state: str
    """Digest of which shards the other lines of work have committed: they may go on later."""
    makers: tuple[Upstream, ...]
    """The atlas's own stages, of what the pages show."""
    against: Compared | None = None
    """The run that neurons are shown beside, and how they differ."""
    resources: Resources = Resources()

    writes = ("pages",)

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """What the pages show; what other lines of work found is read where there is any."""
        return self.makers

    @property
    def identity(self) -> Mapping[str, object]:
        """Where everything comes from, and how it is written."""
        about = {item.name: getattr(self.about, item.name) for item in fields(self.about)}
        return {
            "sources": self.sources.identity,
            "about": {**about, "facts": [[*pair] for pair in self.about.facts]},
            "edition": self.edition,
            "state": self.state,
            "against": _identity(self.against) if self.against else None,
        }

    def share(self, run: Run) -> Shared:
        """What is short of everything."""
        return Shared.of(run, self.sources, self.about, self.against)


def output_of(files: Sequence[File]) -> Output:
    """The table `pages` of some files."""
    paths, contents = zip(*files, strict=True) if files else ((), ())
    columns = {
        "path": pa.array(paths, pa.string()),
        "content": pa.array(contents, pa.binary()),
        "sha256": pa.array([hashlib.sha256(data).hexdigest() for data in contents], pa.string()),
    }
    return Output({"pages": pa.table(columns, schema=tables.schema("pages"))})


def _identity(against: Compared) -> dict[str, object]:
    digest = _digest(against.changes)
    return {"run": against.run.name, "sources": against.sources.identity, "changes": digest}


def _digest(table: pa.Table) -> str:
    """The sha256 of a table's content as an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return hashlib.sha256(sink.getvalue()).hexdigest()
