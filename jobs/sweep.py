"""Describe every neuron of a model: plan, calibrate, effects, directions, texts, descriptions.

    python -m jobs.sweep --recipe demo --store demo-run

Inputs: a recipe (or its fields as options) and pictures. Outputs: the tables of one run in the store, a contact
sheet and findings.json. Needs: memory for one batch of the model and its Gram matrices; a GPU is used if there is one.
The same as `clipneuron run`, for schedulers that want a module.
"""

import sys

from clipneuron.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", *sys.argv[1:]]))
