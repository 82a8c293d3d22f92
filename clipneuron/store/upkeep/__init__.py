"""Looking after a store: what is damaged, and what is left over."""
