"""What a node gives to a secure sum, and what a committee makes of the sum."""
