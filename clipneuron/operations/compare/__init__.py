"""Two runs side by side, from their tables alone: why they differ, and in which neurons, words and figures."""
