"""Settings from TOML: checked at once, with one line for the first thing that is wrong."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Strict,
    Tag,
    ValidationError,
    ValidationInfo,
)
from pydantic.fields import FieldInfo

from domicile.errors import ConfigurationError


class Settings(BaseModel):
    """Base of all settings: frozen, no unknown keys, and no value of another type taken for what it is not."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    BLANKS: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Keys, by their table, that a file which is made for somebody leaves empty for them to fill in."""


S = TypeVar("S", bound=Settings)

_DIRECTORY = "dir:"


def _as_written(value: Any) -> Any:
    """A default is validated like what a file writes."""
    return str(value) if isinstance(value, Path) else value


def _beside(path: Path, info: ValidationInfo) -> Path:
    return info.context["folder"] / path if info.context else path


def _store_beside(location: str, info: ValidationInfo) -> str:
    """Other locations, and an empty path, are left to whoever opens the store."""
    path = location.removeprefix(_DIRECTORY)
    if not location.startswith(_DIRECTORY) or not path:
        return location
    return f"{_DIRECTORY}{_beside(Path(path), info)}"


PathHere = Annotated[Path, Strict(False), BeforeValidator(_as_written), AfterValidator(_beside)]
"""A path that a file writes relative to its own folder."""

StoreHere = Annotated[str, AfterValidator(_store_beside)]
"""A store's location; the path of ``dir:PATH`` is relative to the file that writes it."""


def load_settings(path: Path, model: type[S], *, half_filled: bool = False) -> S:
    """Reads and checks a TOML file. `half_filled`: also one whose `BLANKS` are still empty, for who examines the rest.

    Raises:
        ConfigurationError: the file is missing, is not TOML, or a key is wrong; names file, key, cause and mend.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as exc:
        raise ConfigurationError(f"{path}: no such file; create it or name another one") from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationError(f"{path}: cannot be read ({exc}); make it a readable UTF-8 file") from exc
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigurationError(f"{path}: not valid TOML: {exc}; mend that line") from exc
    blanks = [] if half_filled else blanks_of(table, model)
    if blanks:
        # All at once: whoever fills them in fills in all of them.
        raise ConfigurationError(f"{path}: {', '.join(blanks)}: still empty; fill in")
    return parse_settings(table, model, source=str(path), folder=path.parent)


def blanks_of(table: Mapping[str, Any], model: type[Settings]) -> list[str]:
    """Keys that are there and still to be filled in."""
    return [f"{part}.{key}" for part, key in model.BLANKS if _is_blank(table.get(part), key)]


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Names the file behind a setting that turns out to be wrong only when it is used.

    Raises:
        ConfigurationError: with the file in front.
    """
    try:
        yield
    except ConfigurationError as exc:
        raise ConfigurationError(f"{path}: {exc}") from exc


def parse_settings(table: Mapping[str, Any], model: type[S], *, source: str, folder: Path | None = None) -> S:
    """Checks a table against a model; `source` names where it comes from in the error, `folder` is where its paths
    begin.

    Raises:
        ConfigurationError: a key is missing, unknown, or its value is wrong.
    """
    try:
        # By way of JSON: strict Python mode refuses arrays for tuples and strings for paths and enums, which
        # TOML has no other way to write; strict JSON mode takes these and still refuses "1" for 1.
        context = None if folder is None else {"folder": folder}
        return model.model_validate_json(json.dumps(table), context=context)
    except TypeError as exc:
        key = _unwritable(table)
        raise ConfigurationError(f"{source}: {key}: a date or a time; put it in quotes or correct this value") from exc
    except ValidationError as exc:
        raise ConfigurationError(f"{source}: {describe(exc, model)}") from exc


def _is_blank(part: Any, key: str) -> bool:
    return isinstance(part, Mapping) and part.get(key) == ""


def _unwritable(value: Any, key: str = "") -> str | None:
    """Key of the first value that JSON has no type for; of all that TOML has, dates and times."""
    if isinstance(value, Mapping):
        parts: Iterable[tuple[object, Any]] = value.items()
    elif isinstance(value, (list, tuple)):
        parts = enumerate(value)
    else:
        return None if value is None or isinstance(value, (str, int, float)) else key
    found = (_unwritable(part, f"{key}.{name}" if key else f"{name}") for name, part in parts)
    return next((one for one in found if one is not None), None)


def describe(exc: ValidationError, model: type[BaseModel]) -> str:
    """One line for one error of a validation: key, cause and mend. Never the value: it may be a secret.

    An unknown key goes first: a misspelt key is missing too, and naming that would send the reader the wrong way.
    """
    errors = exc.errors(include_url=False, include_input=False)
    error = next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])
    key, _ = _follow(model, error["loc"])
    if error["type"] == "extra_forbidden":
        known = sorted(_fields_by_key(_model_within(_follow(model, error["loc"][:-1])[1])))
        close = difflib.get_close_matches(str(error["loc"][-1]), known, n=1)
        mend = f"did you mean {close[0]!r}?" if close else f"known keys here: {', '.join(known)}"
        return f"{key}: unknown key; {mend}"
    if error["type"] == "missing":
        return f"{key}: missing; add this key"
    message = error["msg"].removeprefix("Value error, ")
    told = f"{message[0].lower()}{message[1:]}" + ("" if ";" in message else "; correct this value")
    # What is wrong with several keys together names them itself.
    return f"{key}: {told}" if key else told


def _follow(model: type[BaseModel], loc: tuple[int | str, ...]) -> tuple[str, Any]:
    """The key of a place, and what lies there; a file writes no tags, which tell models of a union apart."""
    current: Any = model
    keys = []
    for part in loc:
        tagged = _tagged_within(current, part)
        if tagged is not None:
            current = tagged
            continue
        if isinstance(part, str):
            field = _fields_by_key(_model_within(current)).get(part)
            current = None if field is None else field.annotation
        keys.append(f"{part}")
    return ".".join(keys), current


def _tagged_within(annotation: Any, tag: int | str) -> Any:
    """The model of a union that goes by a tag."""
    if any(isinstance(one, Tag) and one.tag == tag for one in getattr(annotation, "__metadata__", ())):
        return annotation
    arguments = (_tagged_within(argument, tag) for argument in getattr(annotation, "__args__", ()))
    return next((found for found in arguments if found is not None), None)


def _fields_by_key(model: Any) -> dict[str, FieldInfo]:
    """A model's fields by the key that a file writes."""
    return {field.alias or name: field for name, field in getattr(model, "model_fields", {}).items()}


def _model_within(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _model_within(argument)
        if found is not None:
            return found
    return None
