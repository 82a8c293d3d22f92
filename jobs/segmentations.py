"""Attribution maps as segmentations: every method under every protocol, on pictures that have masks.

    ray job submit --address http://HEAD:8265 --submission-id segmentations-2026-11-28 -- \
        python -m jobs.segmentations --recipe vit_b_32 --images s3://bucket/train \
        --segmentation-images s3://bucket/photos --masks s3://bucket/masks --store s3://bucket/runs

Inputs: a recipe (or its fields as options), the pictures that are swept, and pictures with masks. Outputs: the sweep's
tables up to the directions, `class_neurons`, `segmentations` and `segmentation_scores` in one run, and
reports/segmentation-*/report.md. Needs: what jobs.effects needs; methods with gradients keep the activations of a batch
for their backward pass, about five times what a forward pass takes.
What is committed is not done again: the same job under another submission id goes on where the last one ended.
"""

import sys

from clipneuron.cli import main

if __name__ == "__main__":
    sys.exit(main(["segment", *sys.argv[1:]]))
