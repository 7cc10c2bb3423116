// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Tier} from "../interfaces/IJurisdictionRegistry.sol";
import {Sensitivity} from "../interfaces/INodeRegistry.sol";
import {JobState, Member} from "../interfaces/ITrainingJobs.sol";

/// @notice A Member, and besides those figures of its job that never change and the place that it had when the job's
/// deny list was last compared with it, so that a commit reads neither the job nor the list. From the low end: joined (8
/// bits), has committed (8), shard (8), place (8), last regional round (16), last global round (16), minNodes (16),
/// collectWindowS (32), safeguards (24), sensitivity (8), maxTier (8), hasDenied (8), dataset (64).
/// @dev A word of our own, since the compiler reads a struct in storage field by field, each time from storage.
type Seat is uint256;

using Seats for Seat global;

/// @title Reading and changing seats
library Seats {
    uint256 private constant JOINED = 1;
    uint256 private constant COMMITTED = 1 << 8;
    uint256 private constant PLACE = uint256(type(uint8).max) << 24;
    uint256 private constant ROUND = uint256(type(uint32).max) << 32;
    uint256 private constant DATASET = uint256(type(uint64).max) << 160;

    /// @notice The seat of a new member.
    function take(
        JobState memory job,
        uint8 shardIndex,
        uint8 placeIndex,
        uint64 datasetNumber
    ) internal pure returns (Seat) {
        return
            Seat.wrap(
                JOINED |
                    (uint256(shardIndex) << 16) |
                    (uint256(placeIndex) << 24) |
                    (uint256(job.minNodes) << 64) |
                    (uint256(job.collectWindowS) << 80) |
                    (uint256(job.safeguards) << 112) |
                    (uint256(job.sensitivity) << 136) |
                    (uint256(job.maxTier) << 144) |
                    (job.hasDenied ? 1 << 152 : 0) |
                    (uint256(datasetNumber) << 160)
            );
    }

    /// @notice The seat after its member left; what it committed stays known.
    function leave(Seat seat) internal pure returns (Seat) {
        return Seat.wrap(Seat.unwrap(seat) & ~JOINED);
    }

    /// @notice The seat without its reservation.
    function release(Seat seat) internal pure returns (Seat) {
        return Seat.wrap(Seat.unwrap(seat) & ~DATASET);
    }

    /// @notice The seat after a commit from a place.
    function commit(Seat seat, uint32 round, uint8 placeIndex) internal pure returns (Seat) {
        uint256 kept = Seat.unwrap(seat) & ~(ROUND | PLACE);
        return Seat.wrap(kept | COMMITTED | (uint256(placeIndex) << 24) | (uint256(round) << 32));
    }

    /// @notice A global and a regional round as one number.
    function roundOf(uint16 globalRound, uint16 regionalRound) internal pure returns (uint32) {
        return (uint32(globalRound) << 16) | regionalRound;
    }

    function hasJoined(Seat seat) internal pure returns (bool) {
        return Seat.unwrap(seat) & JOINED != 0;
    }

    function hasCommitted(Seat seat, uint32 round) internal pure returns (bool) {
        return Seat.unwrap(seat) & COMMITTED != 0 && uint32(Seat.unwrap(seat) >> 32) == round;
    }

    function shard(Seat seat) internal pure returns (uint8) {
        return uint8(Seat.unwrap(seat) >> 16);
    }

    function place(Seat seat) internal pure returns (uint8) {
        return uint8(Seat.unwrap(seat) >> 24);
    }

    function minNodes(Seat seat) internal pure returns (uint16) {
        return uint16(Seat.unwrap(seat) >> 64);
    }

    function collectWindowS(Seat seat) internal pure returns (uint32) {
        return uint32(Seat.unwrap(seat) >> 80);
    }

    function safeguards(Seat seat) internal pure returns (uint24) {
        return uint24(Seat.unwrap(seat) >> 112);
    }

    function sensitivity(Seat seat) internal pure returns (Sensitivity) {
        return Sensitivity(uint8(Seat.unwrap(seat) >> 136));
    }

    function maxTier(Seat seat) internal pure returns (Tier) {
        return Tier(uint8(Seat.unwrap(seat) >> 144));
    }

    function hasDenied(Seat seat) internal pure returns (bool) {
        return uint8(Seat.unwrap(seat) >> 152) != 0;
    }

    function dataset(Seat seat) internal pure returns (uint64) {
        return uint64(Seat.unwrap(seat) >> 160);
    }

    /// @notice The seat as the interface shows it.
    function member(Seat seat) internal pure returns (Member memory) {
        return
            Member({
                joined: hasJoined(seat),
                hasCommitted: Seat.unwrap(seat) & COMMITTED != 0,
                shard: shard(seat),
                lastGlobalRound: uint16(Seat.unwrap(seat) >> 48),
                lastRegionalRound: uint16(Seat.unwrap(seat) >> 32),
                dataset: dataset(seat)
            });
    }
}
