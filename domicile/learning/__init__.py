"""Tasks, local training, updates and merging, in torch."""
