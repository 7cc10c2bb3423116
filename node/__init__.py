"""The daemon of a data holder."""
