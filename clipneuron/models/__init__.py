"""Other people's networks behind small interfaces; the only package that imports open_clip."""
