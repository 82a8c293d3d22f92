"""The stages of an atlas: which pictures, how they look, where neurons act in them, neighbours, and pages."""
