"""One direction per neuron, from its top effects over the whole collection.

    ray job submit --address http://HEAD:8265 --submission-id directions-2026-11-24 -- \
        python -m jobs.directions --recipe vit_b_32 --images s3://bucket/pictures --store s3://bucket/runs

Inputs: a recipe (or its fields as options) and the pictures that it was swept on. Outputs: the stage directions of the
run and the merged summaries, after the sweep where it is not complete yet. Needs: a core per task and memory for the
summaries of a block of neurons; no GPU once the sweep is done.
What is committed is not done again: the same job under another submission id goes on where the last one ended.
"""

import sys

from clipneuron.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "--until", "directions", *sys.argv[1:]]))
