// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";

import {IJurisdictionRegistry, Tier} from "./interfaces/IJurisdictionRegistry.sol";
import {JurisdictionCodes} from "./libraries/JurisdictionCodes.sol";

/// @title JurisdictionRegistry
/// @dev The lower half of NodeRegistry and no contract of its own: the gate needs both halves at every commit, and a call
/// from one contract to another would cost more gas than all that it compares. Guardians live outside the AccessManager
/// for the same reason: the brake needs no such call.
abstract contract JurisdictionRegistry is IJurisdictionRegistry, AccessManaged {
    uint256 private constant MAX_INDEX = 255;
    /// @dev Jurisdictions whose tiers share one word.
    uint256 private constant GROUP = 128;
    uint256 private constant GROUP_MASK = (1 << GROUP) - 1;

    // Slot map. Parents are listed before their children, so an ancestor's index is always the smaller one.
    //   0  AccessManaged: authority
    //   1  index of the last jurisdiction listed
    //   2  index / 128 -> tiers of 128 jurisdictions, two bits each, the high bits of all in the upper half: 3 Open,
    //      2 Conditional, 1 HighRisk, 0 Prohibited. All are Open at first, so that a ban never writes a fresh slot.
    //   3  code -> index
    //   4  index -> code
    //   5  index -> closure
    //   6  account -> guardian
    uint256 private _lastIndex;
    mapping(uint256 group => uint256 masks) private _tiers;
    mapping(bytes8 code => uint256 index) private _indices;
    mapping(uint256 index => bytes8 code) internal _codes;
    mapping(uint256 index => uint256 closure) internal _closures;
    mapping(address account => bool enabled) private _guardians;

    constructor() {
        _closures[0] = 1;
        for (uint256 group; group <= MAX_INDEX / GROUP; ++group) {
            _tiers[group] = type(uint256).max;
        }
        _setTier(0, Tier.Prohibited);
    }

    /// @inheritdoc IJurisdictionRegistry
    function list(
        bytes8 code,
        bytes8 parent,
        Tier tier,
        bytes32 legalBasis
    ) external override restricted returns (uint8 index) {
        if (!JurisdictionCodes.isValid(code)) revert InvalidJurisdictionCode(code);
        if (_indices[code] != 0) revert JurisdictionAlreadyListed(code);
        if (tier == Tier.Unlisted) revert InvalidTier(tier);
        uint256 last = _lastIndex;
        if (last == MAX_INDEX) revert JurisdictionsFull();
        uint256 closure = parent == 0 ? 0 : _closures[_known(parent)];

        index = uint8(last + 1);
        closure |= 1 << index;
        _lastIndex = index;
        _indices[code] = index;
        _codes[index] = code;
        _closures[index] = closure;
        if (tier != Tier.Open) _setTier(index, tier);

        emit JurisdictionListed(index, code, parent, tier, legalBasis, closure);
    }

    /// @inheritdoc IJurisdictionRegistry
    function tighten(bytes8 code, Tier tier, bytes32 legalBasis) external override {
        if (!_guardians[msg.sender]) revert NotGuardian(msg.sender);
        uint256 index = _known(code);
        if (tier == Tier.Unlisted) revert InvalidTier(tier);
        Tier current = _strictest(1 << index);
        if (tier <= current) revert NotTighter(code, current, tier);

        _setTier(index, tier);

        emit TierChanged(code, tier, legalBasis);
    }

    /// @inheritdoc IJurisdictionRegistry
    function loosen(bytes8 code, Tier tier, bytes32 legalBasis) external override restricted {
        uint256 index = _known(code);
        if (tier == Tier.Unlisted) revert InvalidTier(tier);
        Tier current = _strictest(1 << index);
        if (tier >= current) revert NotLooser(code, current, tier);

        _setTier(index, tier);

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
    function gate(
        uint8 index,
        uint256 allowed,
        uint256 denied,
        Tier maxTier
    ) public view override returns (bool inside, bool tierAllows) {
        uint256 closure = _closures[index];
        inside = closure & allowed != 0 && closure & denied == 0;
        tierAllows = closure != 0 && maxTier != Tier.Unlisted && _strictest(closure) <= maxTier;
    }

    /// @dev Strictest own tier among the jurisdictions of a mask. Reads one word for each group that it touches.
    function _strictest(uint256 mask) private view returns (Tier) {
        uint256 notHigh;
        uint256 notLow;
        uint256 neither;
        for (uint256 group; mask != 0; ++group) {
            uint256 bits = mask & GROUP_MASK;
            mask >>= GROUP;
            if (bits == 0) continue;
            uint256 word = _tiers[group];
            uint256 withoutHigh = bits & ~(word >> GROUP);
            notHigh |= withoutHigh;
            notLow |= bits & ~word;
            neither |= withoutHigh & ~word;
        }
        if (neither != 0) return Tier.Prohibited;
        if (notHigh != 0) return Tier.HighRisk;
        return notLow != 0 ? Tier.Conditional : Tier.Open;
    }

    function _setTier(uint256 index, Tier tier) private {
        uint256 low = 1 << (index % GROUP);
        uint256 high = low << GROUP;
        uint256 word = _tiers[index / GROUP] & ~(high | low);
        if (tier <= Tier.Conditional) word |= high;
        if (tier == Tier.Open || tier == Tier.HighRisk) word |= low;
        _tiers[index / GROUP] = word;
    }

    /// @dev Index of a listed jurisdiction, never 0.
    function _known(bytes8 code) internal view returns (uint256 index) {
        index = _indices[code];
        if (index == 0) revert UnknownJurisdiction(code);
    }
}
