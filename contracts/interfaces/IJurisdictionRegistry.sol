// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice How a jurisdiction stands for this network. The strictest tier on the path to the root
/// counts; a jurisdiction that was never listed refuses.
enum Tier {
    Unlisted,
    Open,
    Conditional,
    HighRisk,
    Prohibited
}

/// @title Jurisdictions, their parents and tiers
/// @notice A jurisdiction is a place with its own law: ISO 3166-1 (`DE`), ISO 3166-2 (`US-CA`) or a
/// bloc (`EU`), stored as `bytes8` ASCII padded with zero bytes. Each has at most one parent, fixed
/// when it is listed. At most 255 are listed in one deployment: index 0 stands for "none" and is
/// prohibited for ever.
/// @dev The closure mask of a jurisdiction has its own bit and those of its ancestors. It never
/// changes, so that "inside a shard", bans and tiers are single AND operations.
interface IJurisdictionRegistry {
    /// @notice A jurisdiction was listed; `closure` has its own bit and its ancestors'.
    event JurisdictionListed(
        uint8 indexed index,
        bytes8 indexed code,
        bytes8 parent,
        Tier tier,
        bytes32 legalBasis,
        uint256 closure
    );
    /// @notice The own tier of a jurisdiction changed, judged by the document with digest `legalBasis`.
    event TierChanged(bytes8 indexed code, Tier tier, bytes32 legalBasis);
    /// @notice An account may (or no longer may) tighten tiers without delay.
    event GuardianChanged(address indexed account, bool enabled);

    /// @notice The code is empty, has bytes after a zero byte, or a byte outside `A-Z0-9-`.
    error InvalidJurisdictionCode(bytes8 code);
    error JurisdictionAlreadyListed(bytes8 code);
    error UnknownJurisdiction(bytes8 code);
    error JurisdictionsFull();
    /// @notice `Unlisted` is not a tier that can be given.
    error InvalidTier(Tier tier);
    error NotTighter(bytes8 code, Tier current, Tier requested);
    error NotLooser(bytes8 code, Tier current, Tier requested);
    error NotGuardian(address account);

    /// @notice Lists a jurisdiction below `parent` (zero for a root). Governance only, immediate: whatever its own
    /// tier, the strictest on the path counts.
    function list(bytes8 code, bytes8 parent, Tier tier, bytes32 legalBasis) external returns (uint8 index);

    /// @notice Makes the own tier of a jurisdiction stricter. Guardians only; takes effect at once.
    function tighten(bytes8 code, Tier tier, bytes32 legalBasis) external;

    /// @notice Makes the own tier of a jurisdiction less strict. Governance only, delayed.
    function loosen(bytes8 code, Tier tier, bytes32 legalBasis) external;

    /// @notice Appoints or dismisses a guardian. Governance only, delayed: a dismissed one can no longer brake what
    /// was scheduled to loosen.
    function setGuardian(address account, bool enabled) external;

    function isGuardian(address account) external view returns (bool);

    /// @notice Index of a listed jurisdiction; reverts with `UnknownJurisdiction` otherwise.
    function indexOf(bytes8 code) external view returns (uint8);

    function codeAt(uint8 index) external view returns (bytes8);

    /// @notice Own bit and ancestors' bits.
    function closureOf(uint8 index) external view returns (uint256);

    /// @notice Strictest tier on the path from the jurisdiction to its root.
    function tierOf(bytes8 code) external view returns (Tier);

    /// @notice Whether a place with index `index` is inside `allowed` and outside `denied`, and whether no
    /// tier on its path is stricter than `maxTier`.
    function gate(
        uint8 index,
        uint256 allowed,
        uint256 denied,
        Tier maxTier
    ) external view returns (bool inside, bool tierAllows);
}
