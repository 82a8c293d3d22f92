"""The concepts of a collection's pictures: a table of them, an index from concepts to pictures, and scores.

    ray job submit --address http://HEAD:8265 --submission-id concepts-2026-11-28 -- \
        python -m jobs.concepts --recipe vit_b_32 --images s3://bucket/train --concepts-images s3://bucket/photos \
        --store s3://bucket/runs

Inputs: a recipe (or its fields as options), the pictures that were swept, and those that concepts are looked for in.
Outputs: the sweep's tables and those of the concepts in one run, and reports/concepts-*/report.md. Needs: what
jobs.effects needs. What is committed is not done again: the same job under another submission id goes on where the last
one ended.
"""

import sys

from clipneuron.cli import main

if __name__ == "__main__":
    sys.exit(main(["concepts", *sys.argv[1:]]))
