"""Node-level differential privacy: nobody learns from a job's models whether a node's whole dataset was in them."""
