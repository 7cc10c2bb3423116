"""The audit of a job's leakage: what a node attacks, and the page that tells of it."""
