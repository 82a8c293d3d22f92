"""What people do with one run, at once: the commands of a schedule, each on the product's own code."""

from collections.abc import Callable
from dataclasses import dataclass

from clipneuron.config.overlap import BusyError
from clipneuron.engine.runner import RunIncompleteError, Runner, StageReport
from clipneuron.operations.schedule.overlap import working_on
from clipneuron.store import leases, progress
from clipneuron.store.errors import DamagedError, ObjectMissingError, PlaceError, StoreError
from clipneuron.store.objects.s3 import S3Objects
from clipneuron.store.store import Run, Store
from tests.faults.schedules.audit import RUN, Auditor
from tests.faults.schedules.bucket import Bucket
from tests.faults.schedules.network import STALE
from tests.faults.schedules.scheduler import Scheduler, current
from tests.faults.schedules.simulation import Quiet
from tests.faults.schedules.work import OPERATOR, STAGE, TABLE, TinyStage

OLD = 100.0
"""Seconds after which vacuum takes what no marker names for left over,"""
THINK = 300.0
"""and for which its user looks at the list. Both together exceed what an attempt takes, at the slowest clock."""


LEASE = 40.0
"""Seconds for which a lease lasts: not much more than a schedule's work, so that many expire."""


@dataclass
class Commands:
    """The commands of one schedule."""

    scheduler: Scheduler
    bucket: Bucket
    auditor: Auditor
    stage: TinyStage
    found: Run | None = None
    """The run, once it need not be looked for again."""

    def drive(self, overlap: str = "wait") -> StageReport | None:
        """`clipneuron run`, with the run's lease: None where it says that it could not do all."""

        def worked(run: Run) -> StageReport:
            with working_on(run, overlap, current().name, lambda _: None, LEASE):
                return self._work(run)

        return self._driven(worked)

    def drive_on(self) -> StageReport | None:
        """As `drive`, but with no lease: one of a version that had none, or that finds nothing left to do."""
        return self._driven(self._work)

    def _work(self, run: Run) -> StageReport:
        return Runner(console=Quiet()).run_stage(self.stage, run)  # type: ignore[arg-type]

    def _driven(self, work: Callable[[Run], StageReport]) -> StageReport | None:
        began = self.scheduler.now
        try:
            report = work(Store(_objects()).open_run("light", {}))
        except (PlaceError, RunIncompleteError, BusyError):
            return None
        except (DamagedError, ObjectMissingError) as error:
            self._unless_repaired(error, began)
            return None
        return report

    def vacuum(self, older_than: float = OLD, think: float = THINK) -> int:
        """`clipneuron vacuum`, whose list somebody looks at, and then --delete."""

        def clean(run: Run) -> int:
            found = run.garbage(older_than)
            self.scheduler.sleep(think)
            return run.remove(found)

        return self._look(clean, 0)

    def retry(self) -> int:
        """`clipneuron retry-failed`, as far as shards are concerned."""

        def forget(run: Run) -> int:
            quarantined = list(progress.quarantined(run.objects))
            return sum(run.forget_failures(stage, shard) for stage, shard in quarantined)

        return self._look(forget, 0)

    def verify(self) -> int:
        """`clipneuron verify`."""
        began = self.scheduler.now

        def verified(run: Run) -> int:
            problems = run.verify()
            if problems and began > self.auditor.repaired + STALE:
                self.auditor.accuse(f"{current().name} found: {'; '.join(problems)}")
            return len(problems)

        return self._look(verified, 0)

    def read(self) -> int:
        """A reader of the tables: how many shards it saw."""
        began, by = self.scheduler.now, current().name

        def rows(run: Run) -> int:
            seen = 0
            try:
                for shard, table in run.scan(STAGE, TABLE):
                    self.auditor.rows(by, shard, table)
                    seen += 1
            except PlaceError:
                raise
            except (DamagedError, ObjectMissingError) as error:
                self._unless_repaired(error, began)
            except StoreError as error:
                if "has committed nothing yet" not in str(error):
                    raise
            return seen

        return self._look(rows, 0)

    def status(self) -> int:
        """`clipneuron status` and `clipneuron runs`: how far the run is, and who works on it."""

        def seen(run: Run) -> int:
            leases.holder(run.objects)
            return len(run.progress(STAGE, 1800.0).done)

        return self._look(seen, 0)

    def repair(self) -> str:
        """A committed object is damaged or lost; whoever is told so deletes its marker, as `verify` says."""
        markers = sorted(self.auditor.named)
        if not markers:
            return ""
        marker = self.scheduler.dice.choice(markers)
        now, by = self.scheduler.now, OPERATOR
        for key in self.auditor.named[marker]:
            if self.scheduler.dice.random() < 0.5:
                self.bucket.put(now, by, key, b"rotten", create=False)
            else:
                self.bucket.delete(now, by, key)
        self.bucket.delete(now, by, marker)
        self.auditor.repaired = now
        return marker

    def find(self) -> Run:
        """The run as other commands than `run` find it."""
        return self.found or Store(_objects()).find_run("light")

    def _look(self, look: Callable[[Run], int], otherwise: int) -> int:
        """What the look at the run gives; `otherwise` where there is none yet, or the store is in trouble."""
        began = self.scheduler.now
        try:
            return look(self.find())
        except PlaceError:
            return otherwise
        except (DamagedError, ObjectMissingError) as error:
            self._unless_repaired(error, began)
            return otherwise
        except ValueError as error:
            if "no run in" not in str(error):
                raise
            return otherwise

    def _unless_repaired(self, error: Exception, began: float) -> None:
        """Whoever began before a damaged shard was given up may have met the damage."""
        if began > self.auditor.repaired + STALE:
            self.auditor.accuse(f"{current().name} met {type(error).__name__}: {error}")


def _objects() -> S3Objects:
    return S3Objects("bucket", RUN.rstrip("/"))
