"""Where the rows that a step draws, and the noise that covers them, come from.

Both must be secret: whoever can guess the noise subtracts it, and whoever can guess the draws knows whose gradient a
step shows.
"""

from __future__ import annotations

import secrets
from typing import Any, Protocol

import numpy as np
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR

Array = np.ndarray[Any, np.dtype[np.float64]]

PIECE = 1 << 18
"""Values made at a time, so that noise for a large layer costs no memory of its size several times over."""


class Randomness(Protocol):
    def uniform(self, count: int) -> torch.Tensor:
        """Numbers from 0 (inclusive) to 1 (exclusive), float64, shape ``(count,)``."""
        ...

    def gaussian(self, count: int) -> torch.Tensor:
        """Standard normal numbers, float32, shape ``(count,)``."""
        ...


class SecureRandomness:
    """AES-256 in counter mode under a key from the operating system, which nothing keeps."""

    def __init__(self) -> None:
        self._stream: CipherContext = Cipher(AES256(secrets.token_bytes(32)), CTR(secrets.token_bytes(16))).encryptor()

    def uniform(self, count: int) -> torch.Tensor:
        return torch.from_numpy(self._uniform(count))

    def gaussian(self, count: int) -> torch.Tensor:
        """Each is half the sum of four, so that the grid of float64 betrays none (Holohan and Braghin 2021, 5.1)."""
        out = torch.empty(count)
        for start in range(0, count, PIECE):
            size = min(PIECE, count - start)
            four = self._normal(4 * size).reshape(4, size)
            out[start : start + size] = torch.from_numpy(four.sum(axis=0) / 2)
        return out

    def _uniform(self, count: int) -> Array:
        """53 random bits each."""
        words = np.frombuffer(self._stream.update(bytes(8 * count)), dtype=np.uint64)
        return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def _normal(self, count: int) -> Array:
        """Box and Muller 1958; `count` is even."""
        radius = np.sqrt(-2 * np.log1p(-self._uniform(count // 2)))
        angle = 2 * np.pi * self._uniform(count // 2)
        return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])


class SeededRandomness:
    """The same numbers for the same seed, which job and round tell everybody: it shows what privacy costs a model, and
    protects nobody.
    """

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def uniform(self, count: int) -> torch.Tensor:
        return torch.rand(count, dtype=torch.float64, generator=self._generator)

    def gaussian(self, count: int) -> torch.Tensor:
        return torch.randn(count, generator=self._generator)
