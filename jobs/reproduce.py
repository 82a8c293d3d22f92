"""The paper's evidence: the sweep, then all its experiments on labelled pictures, and a report with a row per claim.

    ray job submit --address http://HEAD:8265 --submission-id reproduce-2026-11-24 -- \
        python -m jobs.reproduce --recipe vit_b_32 --images s3://bucket/train --evaluation-images s3://bucket/val \
        --store s3://bucket/runs
    python -m jobs.reproduce --recipe demo --store demo-run

Inputs: a recipe (or its fields as options), pictures for the sweep and labelled pictures. Outputs: the sweep's tables
and those of the evidence in one run, and reports/evidence-*/report.md with its pictures and data. Needs: what
jobs.effects needs; indirect effects run part of the model once per picture and neuron.
What is committed is not done again: the same job under another submission id goes on where the last one ended.
"""

import sys

from clipneuron.cli import main

if __name__ == "__main__":
    sys.exit(main(["reproduce", *sys.argv[1:]]))
