// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Tier} from "../interfaces/IJurisdictionRegistry.sol";
import {Committee, ITrainingJobs, JobParameters} from "../interfaces/ITrainingJobs.sol";

/// @title What the parameters of a new job must satisfy
library JobRules {
    uint256 internal constant MAX_SHARDS = 32;
    uint256 internal constant MAX_COMMITTEE = 32;
    /// @dev Keeps every deadline far below the range of `uint40`.
    uint256 internal constant MAX_WINDOW_S = 365 days;

    /// @notice Reverts with the name of the first parameter that makes no sense.
    function check(JobParameters calldata parameters, uint256 numShards) internal pure {
        _require(parameters.spec != 0, "spec");
        _require(parameters.joinWindowS != 0 && parameters.joinWindowS <= MAX_WINDOW_S, "joinWindowS");
        _require(parameters.collectWindowS != 0 && parameters.collectWindowS <= MAX_WINDOW_S, "collectWindowS");
        _require(parameters.globalRounds != 0, "globalRounds");
        _require(parameters.minRegionalRounds != 0, "minRegionalRounds");
        _require(parameters.maxRegionalRounds >= parameters.minRegionalRounds, "maxRegionalRounds");
        _require(parameters.patience != 0, "patience");
        _require(parameters.minNodes >= 2, "minNodes");
        _require(parameters.minContributors >= 3, "minContributors");
        _require(numShards != 0 && numShards <= MAX_SHARDS, "shards");
        _require(parameters.minShards != 0 && parameters.minShards <= numShards, "minShards");
        _require(parameters.maxTier >= Tier.Open && parameters.maxTier <= Tier.HighRisk, "maxTier");
        _require(parameters.epsilonMicros != 0 || parameters.deltaAttos == 0, "epsilonMicros");
        _require(parameters.deltaAttos < 1 ether, "deltaAttos");
    }

    /// @notice Members are distinct and not zero, and the quorum can be reached.
    function checkCommittee(Committee calldata committee) internal pure {
        uint256 size = committee.members.length;
        _require(size != 0 && size <= MAX_COMMITTEE, "committee");
        for (uint256 i; i < size; ++i) {
            address member = committee.members[i];
            _require(member != address(0), "committee");
            for (uint256 j; j < i; ++j) {
                _require(committee.members[j] != member, "committee");
            }
        }
        _require(committee.quorum != 0 && committee.quorum <= size, "quorum");
    }

    function _require(bool holds, bytes32 parameter) private pure {
        if (!holds) revert ITrainingJobs.InvalidParameter(parameter);
    }
}
