"""Where the rows that a step draws, and the noise that covers them, come from.

Both must be secret: whoever can guess the noise subtracts it, and whoever can guess the draws knows whose gradient a
step shows.
"""

from __future__ import annotations

import math
import secrets
from typing import Protocol

import torch
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR

WORD_BITS = 53
"""As many as float64 holds exactly."""

BITS = (1 << WORD_BITS) - 1

PIECE = 1 << 16
"""Values made at a time, so that noise for a large layer costs no memory of its size several times over."""


class Randomness(Protocol):
    def words(self, count: int) -> torch.Tensor:
        """Integers of `WORD_BITS` random bits, int64, shape ``(count,)``."""
        ...

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

    def words(self, count: int) -> torch.Tensor:
        if not count:
            return torch.empty(0, dtype=torch.int64)
        drawn = torch.frombuffer(bytearray(self._stream.update(bytes(8 * count))), dtype=torch.int64)
        return drawn.bitwise_and_(BITS)

    def uniform(self, count: int) -> torch.Tensor:
        return self.words(count).to(torch.float64).mul_(1 / (BITS + 1))

    def gaussian(self, count: int) -> torch.Tensor:
        """Each is half the sum of four of draws of their own, so that the grid of float64 betrays none (Holohan and
        Braghin 2021, 5.1).
        """
        out = torch.empty(count)
        for start in range(0, count, PIECE):
            part = out[start : start + PIECE]
            part.copy_(self._halves_of_four(len(part)))
        return out

    def _halves_of_four(self, count: int) -> torch.Tensor:
        """Box and Muller 1958 makes two of each draw; they go into two different sums."""
        half = (count + 1) // 2
        sums = torch.zeros(2, half, dtype=torch.float64)
        for _ in range(4):
            radius = self.uniform(half).neg_().log1p_().mul_(-2).sqrt_()
            angle = self.uniform(half).mul_(2 * math.pi)
            sums[0].addcmul_(radius, angle.cos())
            sums[1].addcmul_(radius, angle.sin())
        return sums.div_(2).flatten()[:count]


class SeededRandomness:
    """The same numbers for the same seed, which job and round tell everybody: it shows what privacy costs a model, and
    protects nobody.
    """

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def words(self, count: int) -> torch.Tensor:
        return torch.randint(BITS + 1, (count,), generator=self._generator)

    def uniform(self, count: int) -> torch.Tensor:
        return torch.rand(count, dtype=torch.float64, generator=self._generator)

    def gaussian(self, count: int) -> torch.Tensor:
        return torch.randn(count, generator=self._generator)
