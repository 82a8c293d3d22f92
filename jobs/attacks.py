"""Semantic adversarial images in masses: words, captions, pictures, verdicts and a table, for any pairs of classes.

    ray job submit --address http://HEAD:8265 --submission-id attacks-2026-11-24 -- \
        python -m jobs.attacks --recipe vit_b_32 --images s3://bucket/train --pairs cifar10 --store s3://bucket/runs
    python -m jobs.attacks --recipe demo --pairs all --store demo-run

Inputs: a recipe (or its fields as options), the pictures of its sweep, pairs of classes. Outputs: the sweep's tables
and those of the attack in one run, and reports/attack-*/ with the table. Needs: for words and verdicts what
jobs.effects needs (pool `clip`); for captions and pictures nodes of the pool `gen` with memory for the language model
(8 billion parameters of two bytes for LLaMA-3-8B) and the painter (--offload makes do with less); without such a pool
the same nodes do the steps one after another.
What is committed is not done again: the same job under another submission id goes on where the last one ended.
"""

import sys

from clipneuron.cli import main

if __name__ == "__main__":
    sys.exit(main(["attack", *sys.argv[1:]]))
