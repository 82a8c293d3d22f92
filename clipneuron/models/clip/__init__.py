"""CLIP models of open_clip, opened up: weights, traces and interventions."""
