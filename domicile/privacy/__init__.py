"""Record-level differential privacy: what a job asks for, what a node makes of it, and what may be claimed of it."""
