"""The options of the command line, made of the configuration's fields."""
