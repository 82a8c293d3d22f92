"""The paper's claims, each with its number, ours and a verdict."""
