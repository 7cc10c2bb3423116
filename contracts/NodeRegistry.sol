// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import {Attestation, INodeRegistry, Refusal, Sensitivity, Standing} from "./interfaces/INodeRegistry.sol";
import {JurisdictionRegistry} from "./JurisdictionRegistry.sol";
import {Tier} from "./interfaces/IJurisdictionRegistry.sol";
import {Bits} from "./libraries/Bits.sol";
import {TypedData} from "./libraries/TypedData.sol";

/// @title NodeRegistry
contract NodeRegistry is INodeRegistry, JurisdictionRegistry, TypedData {
    uint256 private constant MAX_ATTESTERS = 64;

    bytes32 private constant ATTESTATION_TYPEHASH = keccak256(
        "Attestation(address node,bytes8 jurisdiction,uint8 assurance,bytes32 evidence,uint40 validFrom,uint40 validUntil,uint16 nonce)"
    );

    /// @param index place in the bitmask of attesters, never given to another one
    /// @param present whether its signatures count
    struct Attester {
        uint8 index;
        bool present;
        uint256 scope;
    }

    // Slot map; 0 to 6 are JurisdictionRegistry's.
    //   7  node -> standing, one slot: all that the gate reads of a node
    //   8  node -> digest of the key card; not zero exactly while it is registered
    //   9  account -> attester, two slots: index and presence, scope
    //  10  jurisdiction index -> own quorum
    //  11  mask: jurisdictions that have a quorum of their own
    //  12  bitmask of present attesters (64 bits), number ever added (8 bits)
    mapping(address node => Standing) private _standings;
    mapping(address node => bytes32 digest) private _keyCards;
    mapping(address account => Attester) private _attesters;
    mapping(uint256 index => uint8 quorum) private _quorums;
    uint256 private _withQuorum;
    uint64 private _present;
    uint8 private _numEverAdded;

    constructor(address authority) AccessManaged(authority) TypedData("Domicile NodeRegistry", "1") {}

    /// @inheritdoc INodeRegistry
    function register(bytes32 keyCard, uint24 safeguards) external override {
        if (_keyCards[msg.sender] != 0) revert AlreadyRegistered(msg.sender);
        if (keyCard == 0) revert ZeroKeyCard();

        _keyCards[msg.sender] = keyCard;
        _standings[msg.sender].safeguards = safeguards;

        emit NodeRegistered(msg.sender, keyCard, safeguards);
    }

    /// @inheritdoc INodeRegistry
    function updateKeyCard(bytes32 keyCard, uint24 safeguards) external override {
        _checkRegistered(msg.sender);
        if (keyCard == 0) revert ZeroKeyCard();

        _keyCards[msg.sender] = keyCard;
        _standings[msg.sender].safeguards = safeguards;

        emit KeyCardChanged(msg.sender, keyCard, safeguards);
    }

    /// @inheritdoc INodeRegistry
    function retire() external override {
        _checkRegistered(msg.sender);

        Standing memory kept;
        kept.nonce = _standings[msg.sender].nonce;
        kept.suspended = _standings[msg.sender].suspended;
        _standings[msg.sender] = kept;
        delete _keyCards[msg.sender];

        emit NodeRetired(msg.sender);
    }

    /// @inheritdoc INodeRegistry
    function addAttester(address attester, bytes8[] calldata jurisdictions) external override restricted {
        if (_attesters[attester].present) revert AttesterAlreadyAdded(attester);
        if (jurisdictions.length == 0) revert EmptyScope();
        uint8 index = _numEverAdded;
        if (index == MAX_ATTESTERS) revert AttestersFull();
        uint256 scope;
        for (uint256 i; i < jurisdictions.length; ++i) {
            scope |= 1 << _known(jurisdictions[i]);
        }

        _numEverAdded = index + 1;
        _present |= uint64(1 << index);
        _attesters[attester] = Attester({index: index, present: true, scope: scope});

        emit AttesterAdded(attester, index, scope);
    }

    /// @inheritdoc INodeRegistry
    function removeAttester(address attester) external override restricted {
        Attester memory removed = _attesters[attester];
        if (!removed.present) revert UnknownAttester(attester);

        _present &= ~uint64(1 << removed.index);
        delete _attesters[attester];

        emit AttesterRemoved(attester, removed.index);
    }

    /// @inheritdoc INodeRegistry
    function setQuorum(bytes8 jurisdiction, uint8 quorum) external override restricted {
        _setQuorum(jurisdiction, _known(jurisdiction), quorum);
    }

    /// @inheritdoc INodeRegistry
    function raiseQuorum(bytes8 jurisdiction, uint8 quorum) external override restricted {
        uint256 index = _known(jurisdiction);
        uint8 current = _nearestQuorum(jurisdiction, _closures[index]);
        if (quorum <= current) revert NotHigher(jurisdiction, current, quorum);

        _setQuorum(jurisdiction, index, quorum);
    }

    /// @inheritdoc INodeRegistry
    function attest(Attestation calldata attestation, bytes[] calldata signatures) external override {
        address node = attestation.node;
        _checkRegistered(node);
        Standing memory standing = _standings[node];
        if (attestation.nonce != standing.nonce) revert WrongNonce(node, standing.nonce, attestation.nonce);
        if (!_isWithin(attestation.validFrom, attestation.validUntil)) {
            revert OutsideValidity(attestation.validFrom, attestation.validUntil, block.timestamp);
        }
        uint256 index = _known(attestation.jurisdiction);
        uint256 closure = _closures[index];
        uint8 quorum = _nearestQuorum(attestation.jurisdiction, closure);
        if (signatures.length < quorum) revert TooFewSignatures(quorum, signatures.length);
        uint64 attesters = _recoverAttesters(attestation, signatures, closure);

        standing.jurisdiction = uint8(index);
        standing.quorum = quorum;
        standing.attestedFrom = attestation.validFrom;
        standing.attestedUntil = attestation.validUntil;
        standing.attesters = attesters;
        standing.nonce = attestation.nonce + 1;
        _standings[node] = standing;

        emit NodeAttested(
            node,
            attestation.jurisdiction,
            attestation.assurance,
            attestation.evidence,
            attestation.validFrom,
            attestation.validUntil,
            attestation.nonce,
            attesters
        );
    }

    /// @inheritdoc INodeRegistry
    function revokeAttestation(address node, bytes32 reason) external override {
        Standing memory standing = _standings[node];
        if (standing.jurisdiction == 0) revert NotAttested(node);
        Attester memory attester = _attesters[msg.sender];
        if (!attester.present || attester.scope & _closures[standing.jurisdiction] == 0) {
            revert NotAttesterFor(msg.sender, _codes[standing.jurisdiction]);
        }

        uint16 revoked = standing.nonce;
        standing.jurisdiction = 0;
        standing.quorum = 0;
        standing.attestedFrom = 0;
        standing.attestedUntil = 0;
        standing.attesters = 0;
        standing.nonce = revoked + 1;
        _standings[node] = standing;

        emit AttestationRevoked(node, msg.sender, revoked, reason);
    }

    /// @inheritdoc INodeRegistry
    function clear(address node, Sensitivity class, bytes32 policy, uint40 validUntil) external override restricted {
        _checkRegistered(node);
        if (!_isWithin(0, validUntil)) revert OutsideValidity(0, validUntil, block.timestamp);

        _standings[node].clearance = class;
        _standings[node].clearedUntil = validUntil;

        emit ClearanceGranted(node, class, policy, validUntil);
    }

    /// @inheritdoc INodeRegistry
    function withdrawClearance(address node, bytes32 policy) external override restricted {
        _checkRegistered(node);

        _standings[node].clearance = Sensitivity.Public;
        _standings[node].clearedUntil = 0;

        emit ClearanceWithdrawn(node, policy);
    }

    /// @inheritdoc INodeRegistry
    function suspend(address node, bytes32 reason) external override restricted {
        _checkRegistered(node);
        if (_standings[node].suspended) revert AlreadySuspended(node);

        _standings[node].suspended = true;

        emit NodeSuspended(node, reason);
    }

    /// @inheritdoc INodeRegistry
    function reinstate(address node, bytes32 reason) external override restricted {
        if (!_standings[node].suspended) revert NotSuspended(node);

        _standings[node].suspended = false;

        emit NodeReinstated(node, reason);
    }

    /// @inheritdoc INodeRegistry
    function eligibility(
        address node,
        uint256 allowed,
        uint256 denied,
        Tier maxTier,
        Sensitivity sensitivity,
        uint24 safeguards
    ) external view override returns (Refusal reason, uint8 jurisdiction) {
        Standing storage standing = _standings[node];
        jurisdiction = standing.jurisdiction;
        uint24 offered = standing.safeguards;
        bool suspended = standing.suspended;
        bool cleared = _isCleared(standing, sensitivity);
        // An attested node is registered, so that the key card's slot is read only to name the reason.
        if (jurisdiction == 0 && _keyCards[node] == 0) return (Refusal.NotRegistered, 0);
        if (!_attestationCounts(standing)) return (Refusal.AttestationExpired, jurisdiction);
        (bool inside, bool tierAllows) = gate(jurisdiction, allowed, denied, maxTier);
        if (!inside) reason = Refusal.OutsideShard;
        else if (!tierAllows) reason = Refusal.TierForbids;
        else if (!cleared) reason = Refusal.NotCleared;
        else if (suspended) reason = Refusal.Suspended;
        else if (safeguards & ~offered != 0) reason = Refusal.MissingSafeguard;
    }

    /// @inheritdoc INodeRegistry
    function standingOf(address node) external view override returns (Standing memory) {
        return _standings[node];
    }

    /// @inheritdoc INodeRegistry
    function keyCardOf(address node) external view override returns (bytes32) {
        return _keyCards[node];
    }

    /// @inheritdoc INodeRegistry
    function quorumOf(bytes8 jurisdiction) external view override returns (uint8) {
        return _nearestQuorum(jurisdiction, _closures[_known(jurisdiction)]);
    }

    /// @inheritdoc INodeRegistry
    function attesterOf(address attester) external view override returns (uint8 index, uint256 scope) {
        Attester memory found = _attesters[attester];
        if (!found.present) revert UnknownAttester(attester);
        return (found.index, found.scope);
    }

    /// @inheritdoc INodeRegistry
    function hashAttestation(Attestation calldata attestation) external view override returns (bytes32) {
        return _hashAttestation(attestation);
    }

    function _setQuorum(bytes8 jurisdiction, uint256 index, uint8 quorum) private {
        if (quorum == 0 || quorum > MAX_ATTESTERS) revert InvalidQuorum(quorum);

        _quorums[index] = quorum;
        _withQuorum |= 1 << index;

        emit QuorumChanged(jurisdiction, quorum);
    }

    /// @dev Bitmask of the signers, each of them a present attester whose scope covers the place.
    function _recoverAttesters(
        Attestation calldata attestation,
        bytes[] calldata signatures,
        uint256 closure
    ) private view returns (uint64 attesters) {
        bytes32 digest = _hashAttestation(attestation);
        address previous;
        for (uint256 i; i < signatures.length; ++i) {
            address signer = ECDSA.recoverCalldata(digest, signatures[i]);
            if (signer <= previous) revert SignersNotAscending(previous, signer);
            Attester memory attester = _attesters[signer];
            if (!attester.present || attester.scope & closure == 0) {
                revert NotAttesterFor(signer, attestation.jurisdiction);
            }
            attesters |= uint64(1 << attester.index);
            previous = signer;
        }
    }

    function _hashAttestation(Attestation calldata attestation) private view returns (bytes32) {
        return _hashTypedData(keccak256(abi.encode(ATTESTATION_TYPEHASH, attestation)));
    }

    /// @dev Ancestors have smaller indices, so the highest bit of a closure is the nearest place.
    function _nearestQuorum(bytes8 jurisdiction, uint256 closure) private view returns (uint8) {
        uint256 candidates = closure & _withQuorum;
        if (candidates == 0) revert QuorumNotSet(jurisdiction);
        return _quorums[Bits.highest(candidates)];
    }

    /// @dev The one place that says whether an attestation holds now.
    function _attestationCounts(Standing storage standing) private view returns (bool) {
        if (standing.jurisdiction == 0 || !_isWithin(standing.attestedFrom, standing.attestedUntil)) return false;
        uint256 signed = standing.attesters;
        uint256 present = signed & _present;
        // Nobody removed: they were a quorum when they were counted.
        return present == signed || Bits.count(present) >= standing.quorum;
    }

    /// @dev Public data asks for no clearance.
    function _isCleared(Standing storage standing, Sensitivity class) private view returns (bool) {
        return class == Sensitivity.Public || (class <= standing.clearance && _isWithin(0, standing.clearedUntil));
    }

    /// @dev The one place that compares time bounds; half-open.
    function _isWithin(uint40 from, uint40 until) private view returns (bool) {
        return from <= block.timestamp && block.timestamp < until;
    }

    function _checkRegistered(address node) private view {
        if (_keyCards[node] == 0) revert UnknownNode(node);
    }
}
