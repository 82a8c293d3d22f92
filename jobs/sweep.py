"""Describe every neuron of a model: plan, texts, pool, calibrate, effects, directions, words.

    ray job submit --address http://HEAD:8265 --submission-id sweep-2026-11-24 -- \
        python -m jobs.sweep --recipe vit_b_32 --images s3://bucket/pictures --store s3://bucket/runs
    python -m jobs.sweep --recipe demo --store demo-run

Inputs: a recipe (or its fields as options) and pictures. Outputs: all tables of one run in the store, a contact sheet
and findings.json. Needs: what jobs.effects needs.
What is committed is not done again: the same job under another submission id goes on where the last one ended.
"""

import sys

from clipneuron.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", *sys.argv[1:]]))
