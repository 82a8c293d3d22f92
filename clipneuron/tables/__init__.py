"""Schemas and names of the stored tables."""
