"""Keys of a sandbox, derived from the job's seed so that a run can be repeated bit by bit.

Whoever knows the seed knows them all: they are worth nothing outside a devnet, and no other command derives keys.
"""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def sandbox_secret(seed: int, name: str, purpose: str) -> bytes:
    """32 bytes for one purpose of one participant (HKDF-SHA256, RFC 5869)."""
    hkdf = HKDF(algorithm=hashes.SHA256(), length=32, salt=b"domicile sandbox", info=f"{purpose}/{name}".encode())
    return hkdf.derive(seed.to_bytes(8, "big"))
