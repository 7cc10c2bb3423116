"""Arguments of verbs that are more than text; a wrong one is one line that names cause and mend."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from domicile.errors import ConfigurationError
from domicile.types import Address, JurisdictionCode


def address(value: str) -> Address:
    """An Ethereum account, with its checksum where upper and lower case are mixed.

    Raises:
        ConfigurationError: it is none.
    """
    from eth_utils.address import is_checksum_address, to_checksum_address

    if not re.fullmatch("0x[0-9a-fA-F]{40}", value):
        raise ConfigurationError(f"{value!r}: no account; write 0x and 40 hexadecimal digits")
    if value[2:] not in (value[2:].lower(), value[2:].upper()) and not is_checksum_address(value):
        raise ConfigurationError(f"{value}: its checksum is wrong, so that a digit may be; copy it anew")
    return Address(to_checksum_address(value))


def code(value: str) -> JurisdictionCode:
    """A jurisdiction's code.

    Raises:
        ConfigurationError: it is none.
    """
    if not re.fullmatch("[A-Z0-9-]{1,8}", value):
        raise ConfigurationError(
            f"{value!r}: no code of a jurisdiction; write ISO 3166-1 (DE), ISO 3166-2 (US-CA) or a bloc (EU)"
        )
    return JurisdictionCode(value)


def date(value: str) -> int:
    """A day, as the moment when it is over (UTC): seconds, since the chain counts in them.

    Raises:
        ConfigurationError: it is none.
    """
    try:
        day = datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise ConfigurationError(f"{value!r}: no day; write YYYY-MM-DD") from None
    return int((day + timedelta(days=1)).timestamp())


def url(value: str) -> str:
    """A JSON-RPC endpoint. It may hold a secret, so that an error does not repeat it.

    Raises:
        ConfigurationError: it is none.
    """
    if not re.fullmatch(r"https?://[^/\s]\S*", value):
        raise ConfigurationError("--rpc: no JSON-RPC endpoint; write http://HOST:PORT or https://HOST")
    return value


def store(value: str) -> str:
    """A store's location. It may hold a secret, so that an error does not repeat it.

    Raises:
        ConfigurationError: it is none.
    """
    if not re.fullmatch(r"dir:.+|https?://[^/\s]\S*", value):
        raise ConfigurationError("--region, --border: no store; write dir:PATH, or http://HOST:PORT of a Kubo RPC")
    return value


def party_name(value: str) -> str:
    """What a party is called.

    Raises:
        ConfigurationError: it cannot be called so.
    """
    from domicile.party import NAME_PATTERN

    if not re.fullmatch(NAME_PATTERN, value):
        raise ConfigurationError(f"--name: {value!r} is no name; take up to 64 letters, digits, dots, dashes and _")
    return value


def end_of_day_s(moment_s: int, days: int) -> int:
    """When the day is over (UTC) that lies so many days after a moment: the same for every repetition on one day."""
    day = datetime.fromtimestamp(moment_s, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return int((day + timedelta(days=days + 1)).timestamp())
