"""The report of a line of work, among a run's files: its page is written last, so that the page stands for all."""

from collections.abc import Mapping

from clipneuron.store.outlines import Results
from clipneuron.store.run import Run


def put(run: Run, results: Results, files: Mapping[str, bytes]) -> dict[str, str]:
    """Where each of the report's files is now, by name, in the order of the files; raises StoreError."""
    last = sorted(files, key=lambda name: name == results.page)
    places = {name: run.put_file(f"{results.folder}/{name}", files[name]) for name in last}
    return {name: places[name] for name in files}


def is_written(run: Run, results: Results) -> bool:
    """Whether there is a whole report of these very results; raises StoreError."""
    recorded = results in run.results(type(results))
    return recorded and run.has_file(f"{results.folder}/{results.page}")
