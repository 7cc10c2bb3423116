// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IJurisdictionRegistry, Tier} from "./IJurisdictionRegistry.sol";

/// @notice How sensitive data or a job is. `Special`: health, biometric, genetic, financial records.
enum Sensitivity {
    Public,
    Personal,
    Special,
    Restricted
}

/// @notice Why an account may not work on something. The first that applies, in this order.
enum Refusal {
    None,
    NotRegistered,
    AttestationExpired,
    OutsideShard,
    TierForbids,
    NotCleared,
    Suspended,
    MissingSafeguard
}

/// @notice What a piece of work demands of whoever takes part.
/// @param allowed bits of the jurisdictions inside which a participant must lie (any one of them)
/// @param denied bits of the jurisdictions inside which it must not lie
/// @param maxTier strictest tier that is accepted on its path
/// @param sensitivity class for which it must be cleared; `Public` asks for no clearance
/// @param safeguards bits that it must offer
struct Requirement {
    uint256 allowed;
    uint256 denied;
    Tier maxTier;
    Sensitivity sensitivity;
    uint24 safeguards;
}

/// @notice *Node `node` is in `jurisdiction`*, signed by attesters as EIP-712 typed data.
/// @param nonce the node's attestation nonce, which each acceptance and each revocation raises by one
struct Attestation {
    address node;
    bytes8 jurisdiction;
    uint8 assurance;
    bytes32 evidence;
    uint40 validFrom;
    uint40 validUntil;
    uint16 nonce;
}

/// @notice All that the gate reads of a participant; one storage slot.
/// @param attesters bit i: attester with index i signed the attestation in force
/// @param quorum how many of them must still be attesters for it to count
struct Standing {
    uint8 jurisdiction;
    uint8 quorum;
    Sensitivity clearance;
    bool suspended;
    uint24 safeguards;
    uint40 attestedFrom;
    uint40 attestedUntil;
    uint40 clearedUntil;
    uint16 nonce;
    uint64 attesters;
}

/// @title Participants, attesters, attestations and clearance
/// @notice Participants are accounts with a key card: nodes, members of aggregator committees, job
/// owners. Time bounds are half-open: valid at t when `from <= t < until`.
/// @dev Outside parties: attesters may sign anything, at any time, for ever; submitters may be anyone
/// and may mix signatures. Auditors (AccessManager role) are trusted with clearance and suspension.
/// "Delayed" acts belong to a role whose holders schedule them on the AccessManager and wait: whatever lets in
/// somebody whom the rules kept out, for everyone and for good (a looser tier, an attester, a smaller quorum), or takes
/// a guardian away. Immediate are the opposite acts (a stricter tier, a greater quorum, an attester removed); listing a
/// place, which admits nobody whom its parent's attesters could not have attested in the parent, and nobody at all
/// without parent until attesters and a quorum are given; and an auditor's acts, `clear` and `reinstate` among them,
/// which concern one account, may be taken back at once, and are no use without an attestation.
interface INodeRegistry is IJurisdictionRegistry {
    event NodeRegistered(address indexed node, bytes32 keyCard, uint24 safeguards);
    event KeyCardChanged(address indexed node, bytes32 keyCard, uint24 safeguards);
    event NodeRetired(address indexed node);
    event AttesterAdded(address indexed attester, uint8 index, uint256 scope);
    event AttesterRemoved(address indexed attester, uint8 index);
    event QuorumChanged(bytes8 indexed jurisdiction, uint8 quorum);
    event NodeAttested(
        address indexed node,
        bytes8 indexed jurisdiction,
        uint8 assurance,
        bytes32 evidence,
        uint40 validFrom,
        uint40 validUntil,
        uint16 nonce,
        uint64 attesters
    );
    event AttestationRevoked(address indexed node, address indexed attester, uint16 nonce, bytes32 reason);
    event ClearanceGranted(address indexed node, Sensitivity class, bytes32 policy, uint40 validUntil);
    event ClearanceWithdrawn(address indexed node, bytes32 policy);
    event NodeSuspended(address indexed node, bytes32 reason);
    event NodeReinstated(address indexed node, bytes32 reason);

    error AlreadyRegistered(address node);
    error UnknownNode(address node);
    error ZeroKeyCard();
    error AttesterAlreadyAdded(address attester);
    error UnknownAttester(address attester);
    error AttestersFull();
    error EmptyScope();
    error QuorumNotSet(bytes8 jurisdiction);
    error InvalidQuorum(uint8 quorum);
    error NotHigher(bytes8 jurisdiction, uint8 current, uint8 requested);
    error WrongNonce(address node, uint16 expected, uint16 given);
    /// @notice The attestation is over, not yet valid, or its bounds are in the wrong order.
    error OutsideValidity(uint40 validFrom, uint40 validUntil, uint256 nowS);
    error TooFewSignatures(uint8 required, uint256 given);
    /// @notice Signers must come in strictly ascending order of address, which makes them distinct.
    error SignersNotAscending(address previous, address signer);
    /// @notice The recovered account is no attester, was removed, or its scope does not cover the place.
    error NotAttesterFor(address signer, bytes8 jurisdiction);
    error NotAttested(address node);
    error AlreadySuspended(address node);
    error NotSuspended(address node);

    /// @notice Registers the sender with the digest of its key card and the safeguards it offers.
    function register(bytes32 keyCard, uint24 safeguards) external;

    /// @notice Replaces the sender's key card and safeguards.
    function updateKeyCard(bytes32 keyCard, uint24 safeguards) external;

    /// @notice Removes the sender; everything but its nonce and a suspension is forgotten.
    function retire() external;

    /// @notice Adds an attester for the given jurisdictions and all below them. Governance only, delayed: its
    /// signature admits. At most 64 attesters are ever added; an index is never used twice.
    function addAttester(address attester, bytes8[] calldata jurisdictions) external;

    /// @notice Removes an attester; its signatures stop counting at once, given ones included. Governance only,
    /// immediate.
    function removeAttester(address attester) external;

    /// @notice How many distinct attesters admit a node in a jurisdiction and in all below it that have no
    /// quorum of their own. Governance only, delayed: a place without a quorum admits nobody, so that even the first
    /// one loosens. Attestations in force keep the quorum that they were accepted with.
    function setQuorum(bytes8 jurisdiction, uint8 quorum) external;

    /// @notice Gives a jurisdiction a quorum above the one that holds in it now, its own or the nearest above it.
    /// Governance only, immediate.
    function raiseQuorum(bytes8 jurisdiction, uint8 quorum) external;

    /// @notice Accepts an attestation with the signatures of at least the quorum of distinct attesters.
    function attest(Attestation calldata attestation, bytes[] calldata signatures) external;

    /// @notice Ends a node's attestation. One attester whose scope covers the node's jurisdiction is enough.
    function revokeAttestation(address node, bytes32 reason) external;

    /// @notice Clears a participant for data up to `class`, judged by the policy with this digest. Auditors only.
    function clear(address node, Sensitivity class, bytes32 policy, uint40 validUntil) external;

    /// @notice Withdraws clearance. Auditors only.
    function withdrawClearance(address node, bytes32 policy) external;

    /// @notice Keeps a participant out until it is reinstated. Auditors only.
    function suspend(address node, bytes32 reason) external;

    /// @notice Lifts a suspension. Auditors only, immediate: a node suspended by mistake must not miss its rounds.
    function reinstate(address node, bytes32 reason) external;

    /// @notice May this account work on something that demands this (see `Requirement`), now?
    /// @return reason `None` if so, or the first reason against it
    /// @return jurisdiction index of the place that the account was last attested in, 0 for none
    function eligibility(
        address node,
        uint256 allowed,
        uint256 denied,
        Tier maxTier,
        Sensitivity sensitivity,
        uint24 safeguards
    ) external view returns (Refusal reason, uint8 jurisdiction);

    function standingOf(address node) external view returns (Standing memory);

    function keyCardOf(address node) external view returns (bytes32);

    /// @notice Nearest quorum on the path to the root; reverts with `QuorumNotSet` where there is none.
    function quorumOf(bytes8 jurisdiction) external view returns (uint8);

    /// @notice Index and scope of a present attester; reverts with `UnknownAttester` otherwise.
    function attesterOf(address attester) external view returns (uint8 index, uint256 scope);

    /// @notice EIP-712 digest that attesters sign.
    function hashAttestation(Attestation calldata attestation) external view returns (bytes32);
}
