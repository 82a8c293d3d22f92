"""Runs any stage, here or on a cluster; knows no stage by name."""
