"""How large a cluster must be for a sweep to end in time, and what it costs."""
