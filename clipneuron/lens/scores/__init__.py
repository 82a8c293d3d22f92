"""How good something is: figures, their intervals, and how well maps fit masks."""
