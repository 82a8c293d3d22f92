"""Tests of what stages read."""
