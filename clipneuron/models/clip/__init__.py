"""CLIP models from open_clip: their weights, traces of forward passes, and interventions."""
