"""What must not leave this machine, taken out of what is handed to support.

Known secrets are taken out by what they are, in several spellings; all else by how it looks.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, unquote, urlsplit

MASK = "***"
SHORTEST_SECRET = 4
"""A shorter one is found in every other word; it is no secret either."""

SHORTEST_TOKEN = 8
"""A part of a URL that is shorter is a word of its path, such as ``v3``."""

_URL = re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"]*[^\s'\"<>().,;:]")
_MAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+")
_HEXADECIMAL = re.compile(r"\b(0x)?([0-9a-fA-F]{8})[0-9a-fA-F]{32,}\b")
_TOKEN = re.compile(r"[A-Za-z0-9+=_-]{40,}")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")


class Masker:
    """Masks for one bundle: it knows this party's secrets, and whose address may stay."""

    def __init__(self, secrets: Iterable[str], *, own_address: str | None) -> None:
        self._secrets = sorted({one for secret in secrets for one in _spellings(secret)}, key=len, reverse=True)
        self._own_address = (own_address or "").lower()

    def text(self, text: str) -> str:
        """Prose of ours: other accounts, digests and URLs are cut short, mail addresses and secrets go."""
        text = _URL.sub(lambda found: masked_url(found.group()), self._without_secrets(text))
        text = _HEXADECIMAL.sub(self._shortened, _MAIL.sub(MASK, text))
        return _TOKEN.sub(lambda found: MASK if found.group().lower() != self._own_address else found.group(), text)

    def prose(self, text: str) -> str:
        """Prose that may quote others: what stands in quotes goes too."""
        return self.text(_QUOTED.sub("'…'", text))

    def every(self, value: Any) -> Any:
        """Data, with each text in it masked."""
        if isinstance(value, dict):
            return {key: self.every(part) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [self.every(part) for part in value]
        return self.text(value) if isinstance(value, str) else value

    def finds(self, raw: bytes) -> bool:
        """Whether a secret is left."""
        return any(secret.encode() in raw for secret in self._secrets)

    def _without_secrets(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text

    def _shortened(self, found: re.Match[str]) -> str:
        if found.group().lower() == self._own_address:
            return found.group()
        return f"{found.group(1) or ''}{found.group(2)}…"


def masked_url(url: str) -> str:
    """Scheme, host and port; whatever else there is may be a token."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return MASK
    host = parts.netloc.rpartition("@")[2]
    more = parts.username or parts.path.strip("/") or parts.query or parts.fragment
    return f"{parts.scheme}://{host}" + (f"/{MASK}" if more else "")


def secrets_of_url(url: str) -> list[str]:
    """Parts of a URL that may be a password or a token; of what is no URL, all of it."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return [url]
    user = [one for one in parts.netloc.rpartition("@")[0].split(":") if one]
    tokens = re.split(r"[/?&=#;]", f"{parts.path}?{parts.query}#{parts.fragment}")
    found = [*user, *(one for one in tokens if len(one) >= SHORTEST_TOKEN)]
    return [*found, *(unquote(one) for one in found)]


def cause_of(reason: str) -> str:
    """The class of an error out of ``Class: text``: the text may quote the data."""
    found = re.match(r"(\w+): ", reason)
    return found.group(1) if found else MASK


def _spellings(secret: str) -> list[str]:
    if len(secret) < SHORTEST_SECRET:
        return []
    raw = secret.encode()
    return [secret, quote(secret, safe=""), raw.hex(), base64.b64encode(raw).decode().rstrip("=")]
