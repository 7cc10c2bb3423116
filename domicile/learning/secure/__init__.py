"""What a secure sum of updates takes from its nodes, and what it tells of all of them."""
