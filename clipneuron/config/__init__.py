"""What can be asked for: typed, named and free of torch."""
