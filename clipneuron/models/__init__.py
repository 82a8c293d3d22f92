"""Other people's networks behind small interfaces; the only room that imports open_clip."""
