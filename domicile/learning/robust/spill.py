"""The updates of one round on disk, so that a committee member holds no n models in memory.

They were sealed on their way here and must not lie open now: the file has no name, so that it is gone with the process,
and holds what AES-256-CTR makes of the values under a key that is drawn anew each round and kept in memory alone.
Shapes: P flat parameters, T values of a tile.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from domicile.errors import DiskFault

FLOAT_BYTES = 4
BLOCK_BYTES = 16
"""Of AES: what starts at a multiple of it can be read by itself."""
WRITTEN = 1 << 18
"""Values encrypted and written at a time."""


class Spill:
    """Vectors of one length, written once and read in parts, as often as wanted."""

    def __init__(self, folder: Path, num_parameters: int) -> None:
        """`folder` lies on a disk: where ``/tmp`` is memory, nothing would be won.

        Raises:
            DiskFault: the file cannot be made.
        """
        self._folder = folder
        self._num_parameters = num_parameters
        self._row_bytes = -(-num_parameters * FLOAT_BYTES // BLOCK_BYTES) * BLOCK_BYTES
        with self._translated():
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - lives as long as this object
        self._plain = torch.empty(min(WRITTEN, num_parameters))
        self._sealed = bytearray(min(WRITTEN, num_parameters) * FLOAT_BYTES)
        self.num_vectors = 0
        self._key = os.urandom(32)

    def clear(self) -> None:
        """Gives the room back, and forgets the key."""
        with self._translated():
            self._file.truncate(0)
        self.num_vectors = 0
        # A place in the file may be written anew only under another key: CTR under the same one would show both.
        self._key = os.urandom(32)

    def append(self, values_P: torch.Tensor) -> None:
        """Raises:
        DiskFault: there is no room.
        """
        for start in range(0, self._num_parameters, WRITTEN):
            part = values_P[start : start + WRITTEN]
            # A negative zero becomes a zero: which of the two is the lesser depends on the processor.
            plain = torch.add(part, 0.0, out=self._plain[: part.numel()])
            sealed = memoryview(self._sealed)[: part.numel() * FLOAT_BYTES]
            self._crypt(self._offset(self.num_vectors, start), _bytes_of(plain), sealed)
            self._write(sealed, self._offset(self.num_vectors, start))
        self.num_vectors += 1

    def read(self, vector: int, start: int, out_T: torch.Tensor) -> None:
        """Fills `out_T` with values from `start` on, which MUST be a multiple of 4."""
        offset, view = self._offset(vector, start), _bytes_of(out_T)
        done = 0
        with self._translated():
            while done < len(view):
                count = os.preadv(self._file.fileno(), [view[done:]], offset + done)
                if not count:
                    raise DiskFault(f"{self._folder}: the file of this round's updates ends too early; it is made anew")
                done += count
        self._crypt(offset, view, view)

    def _write(self, view: memoryview, offset: int) -> None:
        with self._translated():
            while len(view):
                count = os.pwrite(self._file.fileno(), view, offset)
                view, offset = view[count:], offset + count

    def _offset(self, vector: int, start: int) -> int:
        return vector * self._row_bytes + start * FLOAT_BYTES

    def _crypt(self, offset: int, source: memoryview, target: memoryview) -> None:
        """The same both ways; the counter follows from the place in the file."""
        counter = (offset // BLOCK_BYTES).to_bytes(BLOCK_BYTES, "big")
        Cipher(algorithms.AES(self._key), modes.CTR(counter)).encryptor().update_into(source, target)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise DiskFault(
                f"{self._folder}: this round's updates cannot be kept there ({exc.strerror}); make room, it is tried "
                "again"
            ) from exc


def _bytes_of(values: torch.Tensor) -> memoryview:
    return memoryview(values.numpy().data).cast("B")
