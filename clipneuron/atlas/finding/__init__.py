"""How neurons, words and pictures are found: the search, the map, and words that have to do with each other."""
