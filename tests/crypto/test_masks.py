"""The mask stream is AES-256 in counter mode, and what is masked comes back."""

from __future__ import annotations

import hmac

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import ECB

from domicile.crypto.masks import PIECE_BYTES, Masks, mask_stream

KNOWN_STREAM = "3fd1c246dc8ba7d994872950fc76651255e9adf262fae1bd9d48cad40b35149c"
SEEDS = [bytes([number]) * 32 for number in range(4)]


def encrypt_block(key: bytes, block: bytes) -> bytes:
    return Cipher(AES256(key), ECB()).encryptor().update(block)  # noqa: S305 (the oracle counts by itself)


def stream_slowly(seed: bytes, size: int) -> bytes:
    """The key by RFC 5869 from HMAC, then one block cipher call a counter."""
    key = hmac.digest(hmac.digest(bytes(32), seed, "sha256"), b"domicile mask stream v1\x01", "sha256")
    blocks = (encrypt_block(key, counter.to_bytes(16, "big")) for counter in range(-(-size // 16)))
    return b"".join(blocks)[:size]


def test_the_block_cipher_answers_as_the_standard_says() -> None:
    # FIPS 197, appendix C.3.
    key, plain = bytes(range(32)), bytes.fromhex("00112233445566778899aabbccddeeff")
    assert encrypt_block(key, plain).hex() == "8ea2b7ca516745bfeafc49904b496089"


@pytest.mark.parametrize("size", [1, 16, 1000, 5000])
def test_the_stream_is_that_of_counters_from_zero(size: int) -> None:
    assert mask_stream(SEEDS[1]).update(bytes(size)) == stream_slowly(SEEDS[1], size)


def test_the_stream_of_a_seed_never_changes() -> None:
    assert mask_stream(bytes(range(32))).update(bytes(32)).hex() == KNOWN_STREAM


@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
def test_masks_are_words_of_the_stream_in_order(dtype: type) -> None:
    words = np.arange(PIECE_BYTES // 4 * 2 + 7, dtype=dtype)
    expected = words.copy()
    stream = stream_slowly(SEEDS[0], words.nbytes), stream_slowly(SEEDS[1], words.nbytes)
    expected += np.frombuffer(stream[0], dtype=dtype)
    expected -= np.frombuffer(stream[1], dtype=dtype)
    masks = Masks(added=SEEDS[:1], subtracted=SEEDS[1:2])
    for part in np.split(words, [3, 4, 20_000]):
        masks.apply(part)
    assert np.array_equal(words, expected)


def test_what_was_added_and_is_subtracted_leaves_nothing() -> None:
    scalars, words = np.arange(3, dtype=np.uint64), np.arange(50_000, dtype=np.uint32)
    masked = Masks(added=SEEDS[:2], subtracted=SEEDS[2:])
    masked.apply(scalars)
    masked.apply(words)
    assert np.count_nonzero(words == np.arange(50_000)) < 5
    unmasked = Masks(added=SEEDS[2:], subtracted=SEEDS[:2])
    unmasked.apply(scalars)
    unmasked.apply(words)
    assert np.array_equal(scalars, np.arange(3))
    assert np.array_equal(words, np.arange(50_000))
