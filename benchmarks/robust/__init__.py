"""What robust merges cost."""
