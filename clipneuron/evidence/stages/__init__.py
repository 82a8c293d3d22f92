"""The stages of the paper's experiments on labelled pictures."""
