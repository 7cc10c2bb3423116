"""Running hashes: what binds an aggregate to exactly the set that was committed."""

from __future__ import annotations

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from domicile.types import Address, Digest, JobId, ShardIndex


def regional_seed(
    chain_id: int, contract: Address, job: JobId, *, shard: ShardIndex, global_round: int, regional_round: int
) -> Digest:
    """Start of a regional round's running hash."""
    types = ["uint256", "address", "uint256", "uint8", "uint16", "uint16"]
    return _hash(types, [chain_id, contract, job, shard, global_round, regional_round])


def extend_commitments(running: Digest, node: Address, digest: Digest) -> Digest:
    """Running hash after one more commit."""
    return _hash(["bytes32", "address", "bytes32"], [running, node, digest])


def global_seed(chain_id: int, contract: Address, job: JobId, global_round: int) -> Digest:
    """Start of a global round's running hash."""
    return _hash(["uint256", "address", "uint256", "uint16"], [chain_id, contract, job, global_round])


def extend_reports(running: Digest, shard: ShardIndex, model: Digest, payload: Digest) -> Digest:
    """Running hash after one more export."""
    return _hash(["bytes32", "uint8", "bytes32", "bytes32"], [running, shard, model, payload])


def _hash(types: list[str], values: list[object]) -> Digest:
    return Digest(keccak(encode(types, values)))
