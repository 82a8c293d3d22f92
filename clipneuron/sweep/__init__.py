"""Every neuron of the chosen layers: its effect, its direction, its description in words."""
