"""A development chain in the background."""
