"""The stages from words to verdicts."""
