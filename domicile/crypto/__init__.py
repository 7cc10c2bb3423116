"""Key cards and sealed payloads."""
