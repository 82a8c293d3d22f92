"""The cluster to run on: started here or joined."""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ray

from clipneuron.config.cluster import ClusterOptions
from clipneuron.engine.cluster.addresses import check_address, named_address, unanswered


@contextmanager
def connected(options: ClusterOptions, pools: Sequence[str]) -> Iterator[None]:
    """A cluster for the time of the block: the one this process uses already, the named one, or one started here.

    Raises ValueError when no cluster answers at the address.
    """
    if ray.is_initialized():
        yield
        return
    # Ray's C++ core reports every actor that Ray Data starts as an error (ray-project/ray#53727).
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    address = named_address(options.address)
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address:
        _join(address, quiet)
    else:
        cores = os.cpu_count() or 1
        # Threads of a model that wait for each other by spinning take the cores from those that decode beside it.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        # Else Ray Data starts a process that collects statistics for its makers.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # Logical cores: one more than there are, since decoding fills the gaps that the models leave.
        _start(num_cpus=cores + 1, resources={pool: float(cores) for pool in pools}, **quiet)
    try:
        yield
    finally:
        ray.shutdown()


def _start(**options: Any) -> None:
    try:
        ray.init(address="local", include_dashboard=False, **options)
    except Exception as error:  # Ray raises a bare one where a busy machine is too slow for it
        raise RuntimeError(
            f"Ray could not be started on this machine ({error}): try again, or use --engine in-process"
        ) from error


def _join(address: str, quiet: dict[str, Any]) -> None:
    check_address(address)
    try:
        ray.init(address=address, **quiet)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise ValueError(unanswered(f"{address!r}", error)) from error
