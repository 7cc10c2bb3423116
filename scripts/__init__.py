"""The command line, a verb group a file."""
