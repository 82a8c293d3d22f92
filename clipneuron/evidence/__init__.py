"""The paper's Sections 3 and 4: ablations, sparse texts, indirect effects; claims and their report."""
