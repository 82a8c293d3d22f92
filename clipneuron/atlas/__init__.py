"""The atlas: a static site with a page for every neuron of a run, built from its tables."""
