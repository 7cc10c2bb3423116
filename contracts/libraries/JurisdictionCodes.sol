// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Form of jurisdiction codes
library JurisdictionCodes {
    /// @notice One to eight bytes of `A-Z0-9-`, then only zero bytes.
    function isValid(bytes8 code) internal pure returns (bool) {
        if (code[0] == 0) return false;
        bool ended;
        for (uint256 i; i < 8; ++i) {
            bytes1 char = code[i];
            if (char == 0) {
                ended = true;
                continue;
            }
            bool known = (char >= "A" && char <= "Z") || (char >= "0" && char <= "9") || char == "-";
            if (ended || !known) return false;
        }
        return true;
    }
}
