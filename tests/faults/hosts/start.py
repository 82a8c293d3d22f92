"""`ray start`, which gives a node ten minutes to start where Ray gives it half a minute: enough on a busy machine.

python -m tests.faults.hosts.start --head ...
"""

import sys
import time
from typing import Any

from ray._private import services
from ray.exceptions import RaySystemError
from ray.scripts.scripts import main

SECONDS = 600.0

_get_node = services.get_node


def patient(*address_and_node: Any) -> Any:
    """The node as the head knows it; raises what Ray does where it does not, or does not answer, within the time."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            return _get_node(*address_and_node)
        except (RuntimeError, RaySystemError):  # the latter: the head had no time to answer
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


if __name__ == "__main__":
    services.get_node = patient
    sys.argv[1:1] = ["start"]
    main()
