"""Values of fields as people write them: layers, amounts of memory, protocols."""
