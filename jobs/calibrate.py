"""The mean effect of every neuron over a picture collection, which the sweep is centred by.

    ray job submit --address http://HEAD:8265 --submission-id calibrate-2026-11-24 -- \
        python -m jobs.calibrate --recipe vit_b_32 --images s3://bucket/pictures --store s3://bucket/runs

Inputs: a recipe (or its fields as options) and pictures. Outputs: the stages plan, texts, pool and calibrate.
Needs: on each model node memory for the model, a batch and the remainders' products; a GPU is used where there is one.
What is committed is not done again: the same job under another submission id goes on where the last one ended.
"""

import sys

from clipneuron.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "--until", "calibrate", *sys.argv[1:]]))
