"""`ray start`, which gives a node ten minutes to start where Ray gives it half a minute: enough on a busy machine.

python -m tests.faults.hosts.start --head ...
"""

import sys
import time
from typing import Any

from ray._private import services
from ray.scripts.scripts import main

SECONDS = 600.0

_get_node = services.get_node


def patient(*address_and_node: Any) -> Any:
    """The node as the head knows it; raises RuntimeError where it does not within the time."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            return _get_node(*address_and_node)
        except RuntimeError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


if __name__ == "__main__":
    services.get_node = patient
    sys.argv[1:1] = ["start"]
    main()
