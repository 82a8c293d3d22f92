"""What a cluster has, before a job is paid for: versions, the store from every node, disks, pools, weights, pictures.

    ray job submit --address http://HEAD:8265 -- \
        python -m jobs.check '{"store": "s3://bucket/runs", "model": "ViT-B-32", "pools": ["clip"]}'

Inputs: what is needed, as JSON (`Wanted` in clipneuron/operations/submit/inspection.py). Outputs: one line of JSON in
the log, after `clipneuron-check: `. Needs: seconds, no core and no model; `clipneuron submit`
submits it by itself.
"""

import json
import sys

from clipneuron.operations.submit.inspection import MARK, Wanted, inspect
from clipneuron.reports.printing import print


def check_names(model: str, pretrained: str | None) -> None:
    """Raises ValueError where open_clip has no such model, UnavailableError where the hub lacks its weights.

    Its library takes seconds to import, and is loaded for names only.
    """
    from clipneuron.models.clip.checkpoints import check_available

    check_available(model, pretrained)


if __name__ == "__main__":
    found = inspect(Wanted(**json.loads(sys.argv[1])), check_names)
    print(MARK + json.dumps(found.model_dump(mode="json")))
