"""What lies among pictures and is no part of a collection: reserved names, our own runs, files of another kind."""
