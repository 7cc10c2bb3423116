"""The only door to a chain: client, contracts, events, errors, devnet."""
