"""The command line's verbs, a group a file."""
