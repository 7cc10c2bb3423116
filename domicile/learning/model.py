"""A model as one flat vector and as a safetensors file.

Shapes: P flat parameters, in the order of the module's state dict. Files are little-endian, like safetensors.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from pydantic import Field, ValidationError

from domicile.errors import ConfigurationError, PeerError
from domicile.learning.ordered_sum import ordered_sum
from domicile.settings import Settings, describe
from domicile.types import Digest

PIECE = 1 << 18
"""Values handled at a time (1 MiB): small enough for the cache, large enough for the loop to cost nothing."""
METADATA_KEY = "domicile"
METADATA_BYTES = 256
"""Longest JSON of `ModelMetadata`, quoted once more, and room to spare."""

NO_METADATA = ""
HEADER_BYTES_MAX = 8 << 20
"""Some 80,000 tensors; parsed as JSON, a header takes a hundred times its length at worst."""

ROWS_MAX = 1 << 40
SLOT_SETS: tuple[tuple[str, ...], ...] = ((), ("momentum",), ("momentum", "variance"))
"""Server optimiser states that a model file may carry."""


class ModelError(PeerError):
    """Bytes are no model of the expected layout."""


class Source(Protocol):
    """Where bytes come from; 0 means the end."""

    def readinto(self, buffer: memoryview, /) -> int: ...


class Figures(Settings):
    """Sums over held-out rows; `correct` is `None` for a regression."""

    loss_sum: float = Field(ge=0, allow_inf_nan=False)
    correct: int | None = Field(default=None, ge=0, le=ROWS_MAX)
    count: int = Field(ge=0, le=ROWS_MAX)


class ModelMetadata(Settings):
    """What a merged model says of itself, inside its file, so that the committee's vote covers it.

    `num_examples`: training rows behind the model; 0 for an initial one. `test`: figures, over whole regions, of the
    global model that the round started from. `clipping_norm`: to which updates that start from this model are clipped,
    in a job with privacy of nodes; `None` stands for the job's own bound.
    """

    num_examples: int = Field(default=0, ge=0, le=ROWS_MAX)
    test: Figures | None = None
    clipping_norm: float | None = Field(default=None, gt=0, allow_inf_nan=False)

    def to_text(self) -> str:
        """Canonical JSON."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelLayout:
    """Names and shapes of a model's tensors."""

    entries: tuple[tuple[str, tuple[int, ...]], ...]

    @property
    def num_parameters(self) -> int:
        return sum(math.prod(shape) for _, shape in self.entries)

    @property
    def header(self) -> bytes:
        """Safetensors header with its length, of a file without server state."""
        return self.header_with((), NO_METADATA)

    def header_with(self, slots: tuple[str, ...], metadata: str) -> bytes:
        """Header of a file that also holds `slots`, each as tensors named ``server.<slot>.<name>``."""
        table: dict[str, Any] = {"__metadata__": {METADATA_KEY: metadata}}
        offset = 0
        for prefix in ("", *(f"server.{slot}." for slot in slots)):
            for name, shape in self.entries:
                end = offset + 4 * math.prod(shape)
                table[prefix + name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [offset, end]}
                offset = end
        text = json.dumps(table, separators=(",", ":")).encode()
        # Room for the longest metadata, so that a file's size follows from its layout alone.
        size = len(text) - len(json.dumps(metadata)) + METADATA_BYTES
        text = text.ljust(size + -size % 8)
        return len(text).to_bytes(8, "little") + text

    def file_bytes_with(self, slots: tuple[str, ...]) -> int:
        return len(self.header_with(slots, NO_METADATA)) + 4 * self.num_parameters * (1 + len(slots))

    @property
    def file_bytes(self) -> int:
        return self.file_bytes_with(())

    @property
    def file_bytes_max(self) -> int:
        """Size of the largest file of this layout: with every server state."""
        return max(self.file_bytes_with(slots) for slots in SLOT_SETS)

    def read(
        self, source: Source, out_P: torch.Tensor, *, expected: Digest | None = None, add: bool = False
    ) -> ModelFile:
        """Reads a file into `out_P`, or adds it there; `out_P` MUST be thrown away after an error.

        Raises:
            ModelError: other layout, too short, too long, or not the `expected` sha-256.
        """
        hasher = hashlib.sha256() if expected is not None else None
        slots, metadata = self._read_header(source, hasher)
        _read_values(source, out_P, hasher, add=add)
        state = {slot: torch.empty(self.num_parameters) for slot in slots}
        for values_P in state.values():
            _read_values(source, values_P, hasher, add=False)
        if source.readinto(memoryview(bytearray(1))):
            raise ModelError("the model goes on after its last tensor; its sender must write it anew")
        if hasher is not None and hasher.digest() != expected:
            raise ModelError("the model's bytes are not the expected ones (sha-256 differs); fetch it from elsewhere")
        return ModelFile(layout=self, state=state, metadata=metadata)

    def _read_header(self, source: Source, hasher: Any) -> tuple[tuple[str, ...], ModelMetadata]:
        header = _header_bytes(source, max(len(self.header_with(slots, NO_METADATA)) for slots in SLOT_SETS))
        text = _metadata_text(header)
        for slots in SLOT_SETS:
            if self.header_with(slots, text) == header:
                if hasher is not None:
                    hasher.update(header)
                return slots, _parse_metadata(text)
        raise ModelError("the model's tensors are not those of this job's task; its sender must run the same task")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFile:
    """A model's file but for its parameters: layout and the server optimiser's state, by slot, each ``(P,)``."""

    layout: ModelLayout
    state: Mapping[str, torch.Tensor] = field(default_factory=dict)
    metadata: ModelMetadata = field(default_factory=ModelMetadata)

    @property
    def file_bytes(self) -> int:
        return self.layout.file_bytes_with(tuple(self.state))

    def chunks(self, values_P: torch.Tensor) -> Iterator[memoryview]:
        """The file's bytes; views of the tensors, not copies."""
        yield memoryview(self.layout.header_with(tuple(self.state), self.metadata.to_text()))
        for flat_P in (values_P, *self.state.values()):
            view = _bytes_of(flat_P)
            for start in range(0, len(view), 4 * PIECE):
                yield view[start : start + 4 * PIECE]

    def digest(self, values_P: torch.Tensor) -> Digest:
        """Sha-256 of the file: what ``sha256sum model.safetensors`` prints."""
        hasher = hashlib.sha256()
        for chunk in self.chunks(values_P):
            hasher.update(chunk)
        return Digest(hasher.digest())


def read_layout(source: Source) -> ModelLayout:
    """Layout of a plain model file, from its header alone.

    Raises:
        ModelError: it is no safetensors file of float32 tensors, as `ModelFile.chunks` writes it.
    """
    header = _header_bytes(source, HEADER_BYTES_MAX)
    try:
        table = json.loads(header[8:])
        entries = tuple(
            (name, tuple(int(size) for size in entry["shape"]))
            for name, entry in table.items()
            if name != "__metadata__" and not name.startswith("server.")
        )
        if any(size < 0 for _, shape in entries for size in shape):
            raise ValueError("a negative size")
    except (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError) as exc:
        raise ModelError(f"not the header of a model file ({exc}); ask the job's owner") from exc
    layout = ModelLayout(entries=entries)
    text = _metadata_text(header)
    if not any(layout.header_with(slots, text) == header for slots in SLOT_SETS):
        raise ModelError("not the header of a float32 model file; ask the job's owner")
    return layout


def save_model(file: ModelFile, values_P: torch.Tensor, path: Path) -> None:
    """Writes a model's file, whole or not at all."""
    temporary = path.with_name(path.name + ".new")
    with temporary.open("wb") as out:
        for chunk in file.chunks(values_P):
            out.write(chunk)
    temporary.replace(path)


def layout_of(module: torch.nn.Module) -> ModelLayout:
    """Layout of a module's state dict.

    Raises:
        ConfigurationError: it holds a tensor that is not float32.
    """
    entries = []
    for name, tensor in module.state_dict().items():
        if tensor.dtype != torch.float32:
            raise ConfigurationError(
                f"the model's tensor {name!r} is {tensor.dtype}, and only float32 can be merged; use GroupNorm instead "
                "of BatchNorm, and register other buffers with persistent=False"
            )
        if name.startswith("server.") or name == "__metadata__":
            raise ConfigurationError(f"the model's tensor {name!r} has a reserved name; rename it")
        entries.append((name, tuple(tensor.shape)))
    return ModelLayout(entries=tuple(entries))


def flatten(module: torch.nn.Module) -> torch.Tensor:
    """A copy of the state dict, shape ``(P,)``."""
    layout_of(module)
    return torch.cat([tensor.detach().reshape(-1) for tensor in module.state_dict().values()])


def load_flat(module: torch.nn.Module, flat_P: torch.Tensor) -> None:
    """Copies a flat vector into a module."""
    tensors = list(module.state_dict().values())
    if flat_P.shape != (sum(tensor.numel() for tensor in tensors),):
        raise ValueError(f"a vector of shape {tuple(flat_P.shape)} does not fit this model")
    offset = 0
    with torch.no_grad():
        for tensor in tensors:
            tensor.copy_(flat_P[offset : offset + tensor.numel()].view(tensor.shape))
            offset += tensor.numel()


def model_chunks(layout: ModelLayout, flat_P: torch.Tensor) -> Iterator[memoryview]:
    """Bytes of a file without server state."""
    return ModelFile(layout=layout).chunks(flat_P)


def model_digest(layout: ModelLayout, flat_P: torch.Tensor) -> Digest:
    """Sha-256 of a file without server state."""
    return ModelFile(layout=layout).digest(flat_P)


def l2_norm(flat_P: torch.Tensor) -> float:
    """L2 norm without a full-size temporary, the same bits on every machine, since committees decide by it; NaN or
    infinite exactly if a value is or the squares overflow float64.
    """
    total = 0.0
    for start in range(0, flat_P.numel(), PIECE):
        piece = flat_P[start : start + PIECE].double()
        total += ordered_sum(piece.mul_(piece))
    return math.sqrt(total)


def read_exactly(source: Source, view: memoryview) -> None:
    """Fills `view`.

    Raises:
        ModelError: the source ends before.
    """
    done = 0
    while done < len(view):
        count = source.readinto(view[done:])
        if not count:
            raise ModelError("the model ends too early; its sender must write it anew")
        done += count


def _header_bytes(source: Source, limit: int) -> bytes:
    """The header with its length."""
    length = bytearray(8)
    read_exactly(source, memoryview(length))
    size = int.from_bytes(length, "little")
    if 8 + size > limit:
        raise ModelError("the model's tensors are not those of this job's task; its sender must run the same task")
    text = bytearray(size)
    read_exactly(source, memoryview(text))
    return bytes(length + text)


def _metadata_text(header: bytes) -> str:
    try:
        text = json.loads(header[8:])["__metadata__"][METADATA_KEY]
    except (KeyError, RecursionError, TypeError, ValueError) as exc:
        raise ModelError("the model's header holds no metadata of ours; its sender must write it anew") from exc
    if not isinstance(text, str) or len(json.dumps(text)) > METADATA_BYTES:
        raise ModelError("the model's metadata is too long; its sender must write it anew")
    return text


def _parse_metadata(text: str) -> ModelMetadata:
    try:
        metadata = ModelMetadata.model_validate_json(text)
    except ValidationError as exc:
        raise ModelError(f"model metadata: {describe(exc, ModelMetadata)}") from exc
    return metadata


def _read_values(source: Source, out_P: torch.Tensor, hasher: Any, *, add: bool) -> None:
    scratch = torch.empty(min(PIECE, out_P.numel())) if add else None
    for start in range(0, out_P.numel(), PIECE):
        part = out_P[start : start + PIECE]
        target = part if scratch is None else scratch[: part.numel()]
        view = _bytes_of(target)
        read_exactly(source, view)
        if hasher is not None:
            hasher.update(view)
        if scratch is not None:
            part.add_(target)


def _bytes_of(flat_P: torch.Tensor) -> memoryview:
    if flat_P.dtype != torch.float32 or not flat_P.is_contiguous():
        raise ValueError("a flat model is a contiguous float32 vector")
    return memoryview(flat_P.detach().numpy().data).cast("B") if flat_P.numel() else memoryview(b"")
