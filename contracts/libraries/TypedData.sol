// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Domain of EIP-712 typed data
/// @dev OpenZeppelin's EIP712 draws in code that does not compile for the `shanghai` EVM (`mcopy`).
abstract contract TypedData {
    bytes32 private constant DOMAIN_TYPEHASH = keccak256(
        "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    );

    bytes32 private immutable NAME_HASH;
    bytes32 private immutable VERSION_HASH;
    bytes32 private immutable CACHED_DOMAIN;
    uint256 private immutable CACHED_CHAIN_ID;

    constructor(string memory name, string memory version) {
        NAME_HASH = keccak256(bytes(name));
        VERSION_HASH = keccak256(bytes(version));
        CACHED_CHAIN_ID = block.chainid;
        CACHED_DOMAIN = keccak256(abi.encode(DOMAIN_TYPEHASH, NAME_HASH, VERSION_HASH, block.chainid, address(this)));
    }

    function _hashTypedData(bytes32 structHash) internal view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", _domain(), structHash));
    }

    /// @dev Derived anew after a chain split, so that nothing signed for one side holds on the other.
    function _domain() private view returns (bytes32) {
        if (block.chainid == CACHED_CHAIN_ID) return CACHED_DOMAIN;
        return keccak256(abi.encode(DOMAIN_TYPEHASH, NAME_HASH, VERSION_HASH, block.chainid, address(this)));
    }
}
