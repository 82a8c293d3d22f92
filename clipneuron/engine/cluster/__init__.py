"""Which Ray cluster a run is on, and where on it its processes go."""
