"""The method, as in the paper: pure functions on tensors, with no files, models or cluster in sight."""
