"""The stages of segmentation, an arrow each."""
