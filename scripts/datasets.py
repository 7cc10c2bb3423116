"""Datasets in the privacy ledger: their commitments, their grants, and what jobs reserved and gave back."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from domicile.chain import events as ev
from domicile.chain.contracts import Budgets
from domicile.errors import ConfigurationError
from domicile.lineage.ledger import LedgerReplay
from domicile.protocol.budget import Budget, Dataset
from domicile.protocol.round import NO_DATASET
from domicile.types import Address, DatasetId, Digest, JobId
from scripts.access import Access
from scripts.documents import SALT_BYTES, file_digest, salted_digest
from scripts.outputs import write_private

FOLDER = "datasets"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reserved:
    """What a job's member reserved of a dataset; `returned` is `None` while the reservation lasts."""

    job: JobId
    reserved: Budget
    returned: Budget | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetStanding:
    number: DatasetId
    commitment: Digest
    dataset: Dataset
    reservations: tuple[Reserved, ...]


def known_dataset(budgets: Budgets, number: int) -> DatasetId:
    """A dataset's number, checked.

    Raises:
        ConfigurationError: there is no such dataset.
    """
    num_datasets = budgets.num_datasets()
    if not 1 <= number <= num_datasets:
        there_are = f"there are datasets 1 to {num_datasets}" if num_datasets else "there is none yet"
        raise ConfigurationError(
            f"dataset {number}: no such dataset, {there_are}; `domicile dataset status` lists them"
        )
    return DatasetId(number)


def require_own(budgets: Budgets, number: DatasetId, owner: Address, kept: Path) -> None:
    """A commitment is public before it is mined, so that somebody else can be faster with it.

    Raises:
        ConfigurationError: the dataset is another account's.
    """
    found = budgets.dataset_at(number).owner
    if found != owner:
        raise ConfigurationError(
            f"{found} registered this commitment, as dataset {number}; delete {kept} and repeat the command, so that "
            "it takes another salt"
        )


def read_datasets(network: Access) -> list[DatasetStanding]:
    """Every dataset, replayed from the ledger's events."""
    last = network.chain.block_number()
    events = list(ev.read_events(network.chain, network.deployment, network.deployment.first_block, last))
    times_s = network.chain.timestamps_of(event.block for event in events)
    replay = LedgerReplay()
    # A dataset has one holder, so that a job reserves of it once at a time.
    found: dict[DatasetId, dict[JobId, Reserved]] = {}
    for event in events:
        kept = replay.ledger.reservations
        replay.follow(event, times_s[event.block])
        if isinstance(event, ev.MemberJoined) and event.dataset != NO_DATASET:
            reserved = replay.ledger.reservations[event.job, event.node].budget
            found.setdefault(event.dataset, {})[event.job] = Reserved(job=event.job, reserved=reserved)
        if isinstance(event, ev.BudgetReturned):
            returned = Budget(epsilon_micros=event.epsilon_micros, delta_attos=event.delta_attos)
            reserved = kept[event.job, event.node].budget
            found[event.dataset][event.job] = Reserved(job=event.job, reserved=reserved, returned=returned)
    return [
        DatasetStanding(
            number=number,
            commitment=commitment,
            dataset=replay.ledger.datasets[number],
            reservations=tuple(found.get(number, {}).values()),
        )
        for commitment, number in replay.ledger.commitments.items()
    ]


def commitment_to(folder: Path, data: Path, holder: Address) -> tuple[Digest, Path]:
    """Salted digest of the data, and the file that holds the salt: without it, data that can be guessed could be
    recognised, and with it, its owner can show which data is meant. Asked again for the same, the digest is the same.

    Raises:
        ConfigurationError: data or file cannot be read or written.
    """
    wanted = {"data": _content(data).hex(), "holder": holder}
    home = folder / FOLDER
    try:
        for path in sorted(home.glob("*.json")):
            told = json.loads(path.read_text(encoding="utf-8"))
            if {key: told[key] for key in wanted} == wanted:
                return salted_digest(bytes.fromhex(told["salt"]), told["data"]), path
        salt = secrets.token_bytes(SALT_BYTES)
        found = salted_digest(salt, wanted["data"])
        path = home / f"{found.hex()}.json"
        home.mkdir(mode=0o700, exist_ok=True)
        write_private(path, json.dumps({**wanted, "salt": salt.hex()}))
    except OSError as exc:
        raise ConfigurationError(f"{home} cannot be read or written ({exc.strerror}); mend that") from exc
    except (KeyError, TypeError, ValueError) as exc:
        raise ConfigurationError(f"{path} tells no commitment that was made here ({exc}); move it elsewhere") from exc
    return found, path


def _content(data: Path) -> bytes:
    """sha-256 of a file; of a folder, over the names and digests of its files in the order of their names."""
    if data.is_file():
        return file_digest(data)
    hasher = hashlib.sha256()
    for path in _files(data):
        name = path.relative_to(data).as_posix().encode()
        hasher.update(len(name).to_bytes(8, "big") + name + file_digest(path))
    return hasher.digest()


def _files(folder: Path) -> Iterator[Path]:
    files = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.as_posix())
    if not files:
        raise ConfigurationError(f"{folder}: a folder without files; name the data")
    yield from files
