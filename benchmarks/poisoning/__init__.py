"""Poisoned runs: accuracy with and without each defence."""
