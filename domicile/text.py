"""Text from elsewhere, on its way to a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Names come from elsewhere: control characters in them must not reach a terminal."""
    return "".join(one if one.isprintable() else "\ufffd" for one in text)
