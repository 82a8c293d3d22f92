"""Stores and their runs: identity, commits, attempts, manifests, verification and garbage."""
