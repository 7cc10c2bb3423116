"""Ordering a job from the command line: the file, what it needs on chain, and placing it once."""
