"""What `clipneuron plan` foretold of a run, kept in the run to be set beside what it took."""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, FiniteFloat

from clipneuron.store import records
from clipneuron.store.errors import DamagedError, ObjectMissingError
from clipneuron.store.store import Run

_NAME = "forecast.json"


class Foretold(BaseModel):
    """What was foretold of the stages of one kind."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    rows: int
    seconds: FiniteFloat
    """In one process of the machine where the sample was tried."""
    size: int
    """Bytes of its tables."""
    bytes_read: int | None = None
    """None where it was not tried, as in the next two."""
    reads: int | None = None
    """Requests that read."""
    writes: int | None = None
    """Requests that write."""


class _Forecast(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    foretold_at: str
    stages: dict[str, Foretold]
    """By kind."""


def record(run: Run, stages: Mapping[str, Foretold]) -> None:
    """Keep a forecast, in the place of an earlier one; raises StoreError."""
    forecast = _Forecast(foretold_at=records.now(), stages=dict(stages))
    run.put_file(_NAME, records.dump(forecast))


def recorded(run: Run) -> Mapping[str, Foretold]:
    """The last forecast by kind, {} where there is none that can be read; raises StoreError."""
    key = f"reports/{_NAME}"
    try:
        return records.load(_Forecast, run.objects.get(key), run.objects.location(key)).stages
    except (ObjectMissingError, DamagedError):
        return {}
