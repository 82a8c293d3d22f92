"""The version of the package and, separately, of its numbers."""

__version__ = "0.1.0"

NUMERICS = 1
"""Raised whenever a change of code changes stored numbers: part of every run's fingerprint."""
