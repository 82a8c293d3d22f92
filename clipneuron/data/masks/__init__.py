"""Masks: which pixels of a picture belong to which thing, of every kind that they are published in."""
