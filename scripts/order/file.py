"""SPEC: a job file with its committees, so that it is all that an owner without data has to write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from domicile.errors import ConfigurationError
from domicile.protocol.round import Committee
from domicile.settings import load_settings
from domicile.types import Address
from scripts.arguments import address
from scripts.job_file import JobFile, check_min_shards
from scripts.network_file import CommitteeEntry

GLOBAL = "global_committee"


class OrderFile(JobFile):
    """`committees` are keyed by shard; a member is an account, or a name of the access file's ``[names]``."""

    committees: dict[str, CommitteeEntry]
    global_committee: CommitteeEntry

    def entries(self) -> Iterator[tuple[str, CommitteeEntry]]:
        """Every committee by its key in the file."""
        for code in self.shards:
            yield f"committees.{code}", self.committees[code]
        yield GLOBAL, self.global_committee


def load_order_file(path: Path) -> OrderFile:
    """Reads SPEC.

    Raises:
        ConfigurationError: names file, key, cause and mend.
    """
    order = load_settings(path, OrderFile)
    check_min_shards(path, order)
    for code in order.shards:
        if code not in order.committees:
            raise ConfigurationError(
                f"{path}: committees.{code}: missing; add the table [committees.{code}] with members = "
                '["0x..."] and quorum = 1'
            )
    for code in order.committees:
        if code not in order.shards:
            raise ConfigurationError(
                f"{path}: committees.{code}: {code!r} is not among shards; remove the committee or add the shard"
            )
    return order


def committees_of(path: Path, order: OrderFile, names: Mapping[str, str]) -> dict[str, Committee]:
    """Every committee with its members' accounts; `names` label accounts, as in the access file.

    Raises:
        ConfigurationError: a member is neither an account nor a name, or comes twice under two names.
    """
    return {key: _committee(f"{path}: {key}.members", entry, names) for key, entry in order.entries()}


def _committee(where: str, entry: CommitteeEntry, names: Mapping[str, str]) -> Committee:
    members = tuple(_account(where, member, names) for member in entry.members)
    for member, account in zip(entry.members, members, strict=True):
        if members.count(account) > 1:
            raise ConfigurationError(f"{where}: {member!r} is an account that comes twice; name each member once")
    return Committee(members=members, quorum=entry.quorum)


def _account(where: str, member: str, names: Mapping[str, str]) -> Address:
    if member.startswith("0x"):
        try:
            return address(member)
        except ConfigurationError as exc:
            raise ConfigurationError(f"{where}: {exc}") from exc
    found = [account for account, label in names.items() if label == member]
    if len(found) > 1:
        raise ConfigurationError(f"{where}: [names] gives {len(found)} accounts the name {member!r}; write the account")
    if not found:
        raise ConfigurationError(
            f"{where}: {member!r} is neither an account (0x and 40 hexadecimal digits) nor among the [names] of the "
            "access file; write the account, or name it there"
        )
    try:
        return address(found[0])
    except ConfigurationError as exc:
        raise ConfigurationError(f"{where}: [names] of the access file: {exc}") from exc
