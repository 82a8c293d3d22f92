"""Which neuron of one run is which of another, across layers and models."""
