"""Which Ray cluster a run is on, where on it its processes go, and what it shows of them."""
