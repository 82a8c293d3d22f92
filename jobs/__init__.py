"""One file per thing that is submitted; each one's docstring is its command, inputs, outputs and needs."""
