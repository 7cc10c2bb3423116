"""What a finished job is told by: as data, on screen and as a page."""
