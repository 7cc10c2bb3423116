// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";

import {IJurisdictionRegistry, Tier} from "./interfaces/IJurisdictionRegistry.sol";
import {JurisdictionCodes} from "./libraries/JurisdictionCodes.sol";

/// @title JurisdictionRegistry
/// @dev Guardians live outside the AccessManager, so that the brake needs no call to another contract.
contract JurisdictionRegistry is IJurisdictionRegistry, AccessManaged {
    uint256 private constant MAX_INDEX = 255;

    // Slot map. Parents are listed before their children, so an ancestor's index is always the smaller one.
    //   0  AccessManaged: authority
    //   1  index of the last jurisdiction listed
    //   2  mask: own tier is Conditional, or was before it was tightened
    //   3  mask: own tier is HighRisk, or was before it was tightened
    //   4  mask: own tier is Prohibited; bit 0 always, so that the first ban writes no fresh slot
    //   5  code -> index
    //   6  index -> code
    //   7  index -> closure
    //   8  account -> guardian
    uint256 private _lastIndex;
    uint256 private _conditional;
    uint256 private _highRisk;
    uint256 private _prohibited = 1;
    mapping(bytes8 code => uint256 index) private _indices;
    mapping(uint256 index => bytes8 code) private _codes;
    mapping(uint256 index => uint256 closure) private _closures;
    mapping(address account => bool enabled) private _guardians;

    constructor(address authority) AccessManaged(authority) {
        _closures[0] = 1;
    }

    /// @inheritdoc IJurisdictionRegistry
    function list(bytes8 code, bytes8 parent, Tier tier, bytes32 legalBasis)
        external
        override
        restricted
        returns (uint8 index)
    {
        if (!JurisdictionCodes.isValid(code)) revert InvalidJurisdictionCode(code);
        if (_indices[code] != 0) revert JurisdictionAlreadyListed(code);
        if (tier == Tier.Unlisted) revert InvalidTier(tier);
        uint256 last = _lastIndex;
        if (last == MAX_INDEX) revert JurisdictionsFull();
        uint256 closure = parent == 0 ? 0 : _closures[_known(parent)];

        index = uint8(last + 1);
        uint256 bit = 1 << index;
        closure |= bit;
        _lastIndex = index;
        _indices[code] = index;
        _codes[index] = code;
        _closures[index] = closure;
        _setBit(tier, bit);

        emit JurisdictionListed(index, code, parent, tier, legalBasis, closure);
    }

    /// @inheritdoc IJurisdictionRegistry
    function tighten(bytes8 code, Tier tier, bytes32 legalBasis) external override {
        if (!_guardians[msg.sender]) revert NotGuardian(msg.sender);
        uint256 bit = 1 << _known(code);
        if (tier <= Tier.Open) {
            if (tier == Tier.Unlisted) revert InvalidTier(tier);
            revert NotTighter(code, _strictest(bit), tier);
        }
        // Only masks at least as strict as the request are read: a ban reads one.
        if (_prohibited & bit != 0) revert NotTighter(code, Tier.Prohibited, tier);
        if (tier <= Tier.HighRisk && _highRisk & bit != 0) revert NotTighter(code, Tier.HighRisk, tier);
        if (tier == Tier.Conditional && _conditional & bit != 0) revert NotTighter(code, Tier.Conditional, tier);

        _setBit(tier, bit);

        emit TierChanged(code, tier, legalBasis);
    }

    /// @inheritdoc IJurisdictionRegistry
    function loosen(bytes8 code, Tier tier, bytes32 legalBasis) external override restricted {
        uint256 bit = 1 << _known(code);
        if (tier == Tier.Unlisted) revert InvalidTier(tier);
        Tier current = _strictest(bit);
        if (tier >= current) revert NotLooser(code, current, tier);

        _prohibited &= ~bit;
        if (tier < Tier.HighRisk) _highRisk &= ~bit;
        if (tier < Tier.Conditional) _conditional &= ~bit;
        _setBit(tier, bit);

        emit TierChanged(code, tier, legalBasis);
    }

    /// @inheritdoc IJurisdictionRegistry
    function setGuardian(address account, bool enabled) external override restricted {
        _guardians[account] = enabled;
        emit GuardianChanged(account, enabled);
    }

    /// @inheritdoc IJurisdictionRegistry
    function isGuardian(address account) external view override returns (bool) {
        return _guardians[account];
    }

    /// @inheritdoc IJurisdictionRegistry
    function indexOf(bytes8 code) external view override returns (uint8) {
        return uint8(_known(code));
    }

    /// @inheritdoc IJurisdictionRegistry
    function codeAt(uint8 index) external view override returns (bytes8) {
        return _codes[index];
    }

    /// @inheritdoc IJurisdictionRegistry
    function closureOf(uint8 index) external view override returns (uint256) {
        return _closures[index];
    }

    /// @inheritdoc IJurisdictionRegistry
    function tierOf(bytes8 code) external view override returns (Tier) {
        return _strictest(_closures[_known(code)]);
    }

    /// @inheritdoc IJurisdictionRegistry
    function gate(uint8 index, uint256 allowed, uint256 denied, Tier maxTier)
        external
        view
        override
        returns (bool inside, bool tierAllows)
    {
        uint256 closure = _closures[index];
        inside = closure & allowed != 0 && closure & denied == 0;
        tierAllows = closure != 0 && closure & _stricterThan(maxTier) == 0;
    }

    /// @dev Bits of all jurisdictions whose own tier is stricter than `tier`; reads no mask that it does not need.
    function _stricterThan(Tier tier) private view returns (uint256 mask) {
        if (tier == Tier.Unlisted) return type(uint256).max;
        if (tier < Tier.Prohibited) mask = _prohibited;
        if (tier < Tier.HighRisk) mask |= _highRisk;
        if (tier < Tier.Conditional) mask |= _conditional;
    }

    function _strictest(uint256 bits) private view returns (Tier) {
        if (_prohibited & bits != 0) return Tier.Prohibited;
        if (_highRisk & bits != 0) return Tier.HighRisk;
        if (_conditional & bits != 0) return Tier.Conditional;
        return Tier.Open;
    }

    function _setBit(Tier tier, uint256 bit) private {
        if (tier == Tier.Prohibited) _prohibited |= bit;
        else if (tier == Tier.HighRisk) _highRisk |= bit;
        else if (tier == Tier.Conditional) _conditional |= bit;
    }

    function _known(bytes8 code) private view returns (uint256 index) {
        index = _indices[code];
        if (index == 0) revert UnknownJurisdiction(code);
    }
}
