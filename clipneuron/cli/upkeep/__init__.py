"""The commands that look after a store: status, failures, retry-failed, verify, vacuum, tables."""
