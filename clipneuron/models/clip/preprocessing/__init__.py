"""From a picture's bytes to the pixels that a model reads; decoding needs no torch."""
