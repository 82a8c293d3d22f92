"""Every neuron's direction as a sparse combination of texts, by orthogonal matching pursuit.

    ray job submit --address http://HEAD:8265 --submission-id descriptions-2026-11-24 -- \
        python -m jobs.descriptions --recipe vit_b_32 --images s3://bucket/pictures --store s3://bucket/runs

Inputs: a recipe (or its fields as options), the pictures that it was swept on, and a pool of texts (--pool), which may
be another one than before. Outputs: the stage descriptions of the run under the pool's label, after the stages before
it where they are not complete yet. Needs: a core per task and memory for the pool's embeddings.
What is committed is not done again: the same job under another submission id goes on where the last one ended.
"""

import sys

from clipneuron.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "--until", "descriptions", *sys.argv[1:]]))
