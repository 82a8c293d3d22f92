"""How true the words of a run are: scores on held-out pictures, beside controls and an upper bound.

    ray job submit --address http://HEAD:8265 --submission-id explanations-2026-11-28 -- \
        python -m jobs.explanations --recipe vit_b_32 --images s3://bucket/train --explanation-images s3://bucket/val \
        --store s3://bucket/runs

Inputs: a recipe (or its fields as options), the pictures that were swept, and held-out pictures with labels, tags or
another CLIP as their witness. Outputs: the sweep's tables and those of the scores in one run, and
reports/explanation-*/report.md. Needs: what jobs.effects needs; memory for a layer's projections in the last stages.
What is committed is not done again: the same job under another submission id goes on where the last one ended.
"""

import sys

from clipneuron.cli import main

if __name__ == "__main__":
    sys.exit(main(["explain", *sys.argv[1:]]))
