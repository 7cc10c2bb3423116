"""Masks that are added to words and taken away again: AES-256 in counter mode (NIST SP 800-38A, section 6.5).

A seed of 32 bytes gives a key by HKDF, the key a stream, which starts at counter block 0: a key serves one stream. The
stream is read as little-endian words of whatever width the masked words have, so that they are masked in Z_2^64 or
Z_2^32; a uniform word hides any other.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

SEED_BYTES = 32
PIECE_BYTES = 64 << 10
"""Stream, mask and masked words of a piece lie in the second-level cache together."""

_LABEL = b"domicile mask stream v1"
_ZEROS = memoryview(bytes(PIECE_BYTES))

Words = NDArray[np.uint32] | NDArray[np.uint64]


def mask_stream(seed: bytes) -> CipherContext:
    """The stream of a seed: what its `update_into` makes of zeros."""
    key = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=_LABEL).derive(seed)
    return Cipher(AES256(key), CTR(bytes(16))).encryptor()


class Masks:
    """Several masks as one, in constant memory. Words must come in the order in which they were masked."""

    def __init__(self, *, added: Iterable[bytes], subtracted: Iterable[bytes]) -> None:
        """Takes 32-byte seeds; about 2 KB of memory for each."""
        self._streams: list[tuple[CipherContext, Any]] = [(mask_stream(seed), np.add) for seed in added]
        self._streams += [(mask_stream(seed), np.subtract) for seed in subtracted]
        self._mask = np.empty(PIECE_BYTES, dtype=np.uint8)
        self._buffer = self._mask.data

    def apply(self, words: Words) -> None:
        """Masks words in place, modulo 2^32 or 2^64 as they are wide."""
        per_piece = PIECE_BYTES // words.itemsize
        for start in range(0, len(words), per_piece):
            part = words[start : start + per_piece]
            mask = self._mask[: part.nbytes].view(words.dtype)
            zeros, out = _ZEROS[: part.nbytes], self._buffer[: part.nbytes]
            for stream, operation in self._streams:
                stream.update_into(zeros, out)
                operation(part, mask, out=part)
