"""The sweep: norms of every neuron's effect on every picture, and a mergeable summary per neuron and shard.

    ray job submit --address http://HEAD:8265 --submission-id effects-2026-11-24 -- \
        python -m jobs.effects --recipe vit_b_32 --images s3://bucket/pictures --store s3://bucket/runs

Inputs: a recipe (or its fields as options) and pictures. Outputs: the stage effects of the run, after those before it
where they are not complete yet. Needs: the most of all jobs, a pass of the model over all pictures; a GPU is used
where there is one, and decoding wants several cores for each.
What is committed is not done again: the same job under another submission id goes on where the last one ended.
"""

import sys

from clipneuron.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "--until", "effects", *sys.argv[1:]]))
