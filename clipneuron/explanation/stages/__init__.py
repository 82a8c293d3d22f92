"""Pictures to scores: one arrow of the flow per module."""
