"""The memory that a sweep needs, and how it is made to fit."""
