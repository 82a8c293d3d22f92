"""The atlas of a finished run: a static site with a page for every neuron, word and picture.

    ray job submit --address http://HEAD:8265 --submission-id atlas-2026-11-29 -- \
        python -m jobs.atlas --recipe vit_b_32 --images s3://bucket/train --store s3://bucket/runs --to s3://bucket/site

Inputs: the recipe of a finished run, its pictures and its model; scores of words, concepts, evidence and attacks where
the run has them. Outputs: `shown_pictures`, `thumbnails`, `heats`, `class_maps`, `neuron_profiles`, `near_neurons` and
`pages` in the run, and the site. Needs: what jobs.effects needs, for one pass over the pictures that are shown and some
over a hundred of them; pages are made by one core each.
What is committed is not done again: the same job under another submission id goes on where the last one ended, and
writes only the files of the site that have changed.
"""

import sys

from clipneuron.cli import main

if __name__ == "__main__":
    sys.exit(main(["atlas", *sys.argv[1:]]))
