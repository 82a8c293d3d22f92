"""One arrow of the flow per module; stages meet only through tables."""
