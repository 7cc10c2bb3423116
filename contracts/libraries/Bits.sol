// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Bit arithmetic on masks
library Bits {
    /// @notice Number of bits set.
    function count(uint256 mask) internal pure returns (uint256 number) {
        for (; mask != 0; mask &= mask - 1) ++number;
    }

    /// @notice Position of the highest bit set; `mask` MUST NOT be zero.
    function highest(uint256 mask) internal pure returns (uint256 position) {
        for (uint256 step = 128; step != 0; step >>= 1) {
            if (mask >> step != 0) {
                mask >>= step;
                position |= step;
            }
        }
    }
}
