"""The parts of the pursuit: supports that grow by a text at a time, and what a pool of texts allows."""
