"""The mathematics of the paper: pure functions on tensors, free of files, models and clusters."""
