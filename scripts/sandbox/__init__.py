"""A whole network on one machine: a devnet, real stores and one process a participant."""
