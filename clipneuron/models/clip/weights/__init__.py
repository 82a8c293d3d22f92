"""Weights as files hold them: what a file is, its tensors, under which names, and how they get into a network."""
