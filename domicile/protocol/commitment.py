"""Running hashes: what binds an aggregate to exactly the set that was committed."""

from __future__ import annotations

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from domicile.protocol.board import RECORD_BYTES
from domicile.protocol.proposal import GlobalProposal, RegionalProposal, SurvivorsProposal
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


def regional_proposal_id(job: JobId, shard: ShardIndex, proposal: RegionalProposal) -> bytes:
    """What equal regional proposals have in common, and no others."""
    values = (
        proposal.global_round,
        proposal.regional_round,
        proposal.commitments,
        proposal.model,
        proposal.payload,
        proposal.loss_micros,
        [(one.node, int(one.reason)) for one in proposal.excluded],
    )
    kind = "(uint16,uint16,bytes32,bytes32,bytes32,uint64,(address,uint8)[])"
    return _hash(["uint256", "uint8", kind], [job, shard, values])


def survivors_proposal_id(job: JobId, shard: ShardIndex, proposal: SurvivorsProposal) -> bytes:
    """What equal proposals of survivors have in common, and no others."""
    values = (
        proposal.global_round,
        proposal.regional_round,
        proposal.commitments,
        [(one.node, int(one.reason)) for one in proposal.excluded],
    )
    return _hash(["uint256", "uint8", "(uint16,uint16,bytes32,(address,uint8)[])"], [job, shard, values])


def extend_agreements(record: bytes, proposal_id: bytes) -> bytes:
    """A shard's record on the unmasking board after one more agreement."""
    return _hash(["bytes26", "bytes32"], [record, proposal_id])[:RECORD_BYTES]


def extend_answers(record: bytes, global_round: int, regional_round: int, digest: Digest) -> bytes:
    """A member's record on the unmasking board after one more answer."""
    types = ["bytes26", "uint16", "uint16", "bytes32"]
    return _hash(types, [record, global_round, regional_round, digest])[:RECORD_BYTES]


def global_proposal_id(job: JobId, proposal: GlobalProposal) -> bytes:
    """What equal global proposals have in common, and no others."""
    values = (
        proposal.global_round,
        proposal.reports,
        proposal.model,
        proposal.payload,
        [(one.shard, int(one.reason)) for one in proposal.excluded],
    )
    return _hash(["uint256", "(uint16,bytes32,bytes32,bytes32,(uint8,uint8)[])"], [job, values])


def _hash(types: list[str], values: list[object]) -> Digest:
    return Digest(keccak(encode(types, values)))
