"""Sealed payloads: AES-256-GCM in chunks, the content key wrapped for each recipient with HPKE.

The chunks form a STREAM (Hoang, Reyhanitabar, Rogaway, Vizár, CRYPTO 2015): the nonce is the chunk's number and a flag
on the last one, so that chunks cannot be cut off, moved, doubled or added. The nonce needs no random prefix, because
each payload has a content key of its own. The header's hash is authenticated with every chunk.

HPKE's base mode does not say who sealed. The chain does: the digest of the sealed bytes was committed by the sender's
account, and the context names that sender. The format is documented byte by byte in ``docs/payload-format.md``.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Sequence
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from typing_extensions import Buffer

from domicile.crypto.context import PayloadContext
from domicile.crypto.keys import RECIPIENT_ID_BYTES, HpkeKey, KeyCard
from domicile.errors import SealError, SealFault

MAGIC = b"DOMICILE"
VERSION = 1
SUITE_ID = 1
"""HPKE with MLKEM768-X25519, HKDF-SHA256 and AES-256-GCM; content under AES-256-GCM."""

CHUNK_BYTES = 256 << 10
TAG_BYTES = 16
CONTENT_KEY_BYTES = 32
WRAPPED_KEY_BYTES = 1120 + CONTENT_KEY_BYTES + TAG_BYTES
ENTRY_BYTES = RECIPIENT_ID_BYTES + WRAPPED_KEY_BYTES
MAX_RECIPIENTS = 4096
INFO_LABEL = b"domicile sealed payload v1"

FIXED_HEADER = struct.Struct(">8sHHIQI32s")
"""Magic, version, suite, chunk bytes, plaintext bytes, number of recipients, sha-256 of the context."""

_NONCE = struct.Struct(">xxxQB")


class Sink(Protocol):
    def write(self, data: Buffer, /) -> object: ...


class Source(Protocol):
    def readinto(self, buffer: memoryview, /) -> int: ...


def sealed_size(plaintext_bytes: int, num_recipients: int) -> int:
    """Length in bytes of a sealed payload; it follows from these two numbers alone."""
    num_chunks = max(1, -(-plaintext_bytes // CHUNK_BYTES))
    return FIXED_HEADER.size + num_recipients * ENTRY_BYTES + plaintext_bytes + num_chunks * TAG_BYTES


class SealingWriter:
    """Takes plaintext in pieces of any size and writes the sealed payload to a sink, in constant memory."""

    def __init__(
        self, sink: Sink, recipients: Sequence[KeyCard], context: PayloadContext, plaintext_bytes: int
    ) -> None:
        """Writes the header.

        Raises:
            ValueError: no recipient, too many, or one that comes twice.
        """
        ids = {card.recipient_id for card in recipients}
        if not 0 < len(recipients) == len(ids) <= MAX_RECIPIENTS:
            raise ValueError(
                f"{len(recipients)} recipients, {len(ids)} of them distinct; 1 to {MAX_RECIPIENTS} distinct"
            )
        content_key = os.urandom(CONTENT_KEY_BYTES)
        header = _header(content_key, recipients, context, plaintext_bytes)
        self._sink = sink
        self._cipher = AESGCM(content_key)
        self._aad = hashlib.sha256(header).digest()
        self._remaining = plaintext_bytes
        self._plain = bytearray(min(CHUNK_BYTES, plaintext_bytes))
        self._sealed = memoryview(bytearray(len(self._plain) + TAG_BYTES))
        self._filled = 0
        self._counter = 0
        self._closed = False
        sink.write(header)

    def write(self, data: Buffer) -> None:
        """Seals more plaintext.

        Raises:
            ValueError: this is more than was announced.
        """
        view = memoryview(data).cast("B")
        if len(view) > self._remaining:
            raise ValueError(f"{len(view) - self._remaining} bytes more than announced")
        self._remaining -= len(view)
        while len(view):
            if self._filled == 0 and len(view) >= CHUNK_BYTES and (self._remaining or len(view) > CHUNK_BYTES):
                self._emit(view[:CHUNK_BYTES], last=False)
                view = view[CHUNK_BYTES:]
                continue
            if self._filled == CHUNK_BYTES:
                self._emit(memoryview(self._plain), last=False)
                self._filled = 0
            taken = min(len(view), CHUNK_BYTES - self._filled)
            self._plain[self._filled : self._filled + taken] = view[:taken]
            self._filled += taken
            view = view[taken:]

    def close(self) -> None:
        """Writes the last chunk.

        Raises:
            ValueError: less was written than announced.
        """
        if self._remaining or self._closed:
            told = "closed already" if self._closed else f"{self._remaining} bytes fewer than announced"
            raise ValueError(told)
        self._closed = True
        self._emit(memoryview(self._plain)[: self._filled], last=True)

    def _emit(self, chunk: memoryview, *, last: bool) -> None:
        out = self._sealed[: len(chunk) + TAG_BYTES]
        self._cipher.encrypt_into(_NONCE.pack(self._counter, last), chunk, self._aad, out)
        self._counter += 1
        self._sink.write(out)


class OpeningReader:
    """Reads a sealed payload and hands out plaintext that is authenticated, and nothing else."""

    def __init__(self, source: Source, key: HpkeKey, context: PayloadContext, *, max_plaintext_bytes: int) -> None:
        """Reads the header and unwraps the content key.

        Raises:
            SealError: with the reason.
        """
        self._source = source
        fixed = self._exactly(FIXED_HEADER.size)
        magic, version, suite, chunk_bytes, size, num_recipients, context_hash = FIXED_HEADER.unpack(fixed)
        if magic != MAGIC:
            raise SealError(SealFault.NOT_A_PAYLOAD, "these bytes are not a sealed payload")
        if (version, suite, chunk_bytes) != (VERSION, SUITE_ID, CHUNK_BYTES):
            raise SealError(
                SealFault.UNKNOWN_VERSION, f"sealed in version {version}, suite {suite}; this is {VERSION}, {SUITE_ID}"
            )
        if size > max_plaintext_bytes or not 0 < num_recipients <= MAX_RECIPIENTS:
            raise SealError(
                SealFault.TOO_LARGE,
                f"{size} bytes for {num_recipients} recipients; {max_plaintext_bytes} bytes are expected at most",
            )
        entries = self._exactly(num_recipients * ENTRY_BYTES)
        if context_hash != hashlib.sha256(context.to_bytes()).digest():
            raise SealError(
                SealFault.WRONG_CONTEXT, "sealed for another chain, contract, job, shard, round, kind or sender"
            )
        self._aad = hashlib.sha256(fixed + entries).digest()
        self._cipher = AESGCM(_unwrap(entries, key, context))
        self.size = size
        """Length of the plaintext in bytes."""

        self._unread = size
        self._counter = 0
        self._sealed = memoryview(bytearray(min(CHUNK_BYTES, size) + TAG_BYTES))
        self._plain = memoryview(bytearray(min(CHUNK_BYTES, size)))
        self._ready = self._plain[:0]
        self._finished = False
        self._failed: SealError | None = None

    def readinto(self, buffer: Buffer) -> int:
        """Fills a buffer as far as the payload goes; 0 once all was read and the end has proved to be the end.

        Raises:
            SealError: the payload is cut off, extended, reordered or altered.
        """
        target = memoryview(buffer).cast("B")
        written = 0
        while written < len(target):
            if not len(self._ready) and not self._next_chunk():
                break
            taken = min(len(self._ready), len(target) - written)
            target[written : written + taken] = self._ready[:taken]
            self._ready = self._ready[taken:]
            written += taken
        if not self._unread and not len(self._ready):
            self._next_chunk()
        return written

    def read(self, size: int) -> bytes:
        """At most `size` bytes."""
        buffer = bytearray(size)
        return bytes(buffer[: self.readinto(buffer)])

    def _next_chunk(self) -> bool:
        if self._finished:
            return False
        if self._failed is not None:
            raise self._failed
        try:
            self._read_chunk()
        except SealError as exc:
            # What was refused once stays refused.
            self._failed = exc
            raise
        return True

    def _read_chunk(self) -> None:
        length = min(CHUNK_BYTES, self._unread)
        last = length == self._unread
        sealed = self._sealed[: length + TAG_BYTES]
        self._fill(sealed)
        try:
            self._cipher.decrypt_into(_NONCE.pack(self._counter, last), sealed, self._aad, self._plain[:length])
        except InvalidTag as exc:
            raise SealError(SealFault.ALTERED, f"chunk {self._counter} is not what was sealed") from exc
        if last and self._source.readinto(memoryview(bytearray(1))):
            raise SealError(SealFault.EXTENDED, "bytes follow the end of the payload")
        self._counter += 1
        self._unread -= length
        self._ready = self._plain[:length]
        self._finished = last

    def _exactly(self, length: int) -> bytes:
        buffer = bytearray(length)
        self._fill(memoryview(buffer))
        return bytes(buffer)

    def _fill(self, view: memoryview) -> None:
        while len(view):
            got = self._source.readinto(view)
            if not got:
                raise SealError(SealFault.TRUNCATED, f"cut off: {len(view)} bytes are missing")
            view = view[got:]


def _header(content_key: bytes, recipients: Sequence[KeyCard], context: PayloadContext, plaintext_bytes: int) -> bytes:
    bound = context.to_bytes()
    info = INFO_LABEL + bound
    fixed = FIXED_HEADER.pack(
        MAGIC, VERSION, SUITE_ID, CHUNK_BYTES, plaintext_bytes, len(recipients), hashlib.sha256(bound).digest()
    )
    return fixed + b"".join(card.recipient_id + card.wrap(content_key, info) for card in recipients)


def _unwrap(entries: bytes, key: HpkeKey, context: PayloadContext) -> bytes:
    own = key.recipient_id
    for start in range(0, len(entries), ENTRY_BYTES):
        entry = entries[start : start + ENTRY_BYTES]
        if entry[:RECIPIENT_ID_BYTES] == own:
            try:
                return key.unwrap(entry[RECIPIENT_ID_BYTES:], INFO_LABEL + context.to_bytes())
            except (InvalidTag, ValueError) as exc:
                raise SealError(SealFault.ALTERED, "the wrapped key is not what was sealed") from exc
    raise SealError(SealFault.NOT_A_RECIPIENT, "sealed to others, not to this key")
