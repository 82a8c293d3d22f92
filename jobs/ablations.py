"""What the zero-shot classifier says with second-order effects replaced, all layers in one pass (Fig. 3, 4, 9).

    ray job submit --address http://HEAD:8265 --submission-id ablations-2026-11-24 -- \
        python -m jobs.ablations --recipe vit_b_32 --images s3://bucket/train --evaluation-images s3://bucket/val \
        --store s3://bucket/runs

Inputs: as jobs.reproduce. Outputs: the stages classifier, reconstructions of each pool of texts and ablations of the
run, after the sweep where it is not complete yet. Needs: what jobs.effects needs, and memory for the Gram matrices
and cross terms of all layers on each model node (1.3 GB for ViT-B-32).
What is committed is not done again: the same job under another submission id goes on where the last one ended.
"""

import sys

from clipneuron.cli import main

if __name__ == "__main__":
    sys.exit(main(["reproduce", "--until", "ablations", *sys.argv[1:]]))
