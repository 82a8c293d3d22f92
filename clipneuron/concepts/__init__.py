"""Concepts in pictures: what their activated neurons say, beside what the embedding and the attention heads say."""
