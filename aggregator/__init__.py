"""The daemons of regional and global committees."""
