// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    GlobalProposal,
    JobParameters,
    JobPhase,
    RegionalProposal,
    ShardPhase,
    StallReason
} from "../interfaces/ITrainingJobs.sol";
import {JobLedger} from "./JobLedger.sol";

/// @title How rounds open, close, mature, stall and come to an end
/// @dev Every change of a phase is in here, none of the checks of who may cause it.
abstract contract JobRounds is JobLedger {
    uint64 internal constant NO_LOSS = type(uint64).max;
    uint16 private constant NO_CONTRIBUTORS_YET = type(uint16).max;

    /// @dev Opens a global round, or fails the job where fewer than `minShards` shards could report in it.
    function _openGlobalRound(uint256 id, Job storage job, uint16 globalRound) internal {
        if (_numReady(job, ShardPhase.Idle) < job.parameters.minShards) {
            _setJobPhase(id, job, JobPhase.Failed, 0);
            return;
        }
        job.state.globalRound = globalRound;
        job.state.retries = 0;
        job.state.numReported = 0;
        job.state.numStalled = 0;
        job.reports = keccak256(abi.encode(block.chainid, this, id, globalRound));
        _setJobPhase(id, job, JobPhase.Training, _globalDeadline(job));

        uint256 numShards = job.state.numShards;
        for (uint256 i; i < numShards; ++i) {
            Shard storage shard = job.shards[i];
            if (shard.state.numMembers < job.state.minNodes) {
                _resetShard(shard.state, 0, globalRound);
                _stall(id, job, uint8(i), shard, StallReason.TooFewMembers);
            } else {
                _openShard(id, job, uint8(i), shard, 0);
            }
        }
    }

    /// @dev What a shard forgets when it starts anew from the global model.
    function _resetShard(LiveShard storage state, uint16 firstRound, uint16 globalRound) internal {
        state.globalRound = globalRound;
        state.stall = StallReason.None;
        state.retries = 0;
        state.staleRounds = 0;
        state.regionalRound = firstRound;
        state.firstRound = firstRound;
        state.numCommitted = 0;
        state.leastContributors = NO_CONTRIBUTORS_YET;
        state.bestLossMicros = NO_LOSS;
    }

    function _openShard(uint256 id, Job storage job, uint8 index, Shard storage shard, uint16 firstRound) internal {
        _resetShard(shard.state, firstRound, job.state.globalRound);
        _openRegionalRound(id, job, index, shard, firstRound);
    }

    function _openRegionalRound(
        uint256 id,
        Job storage job,
        uint8 index,
        Shard storage shard,
        uint16 regionalRound
    ) internal {
        shard.state.regionalRound = regionalRound;
        shard.state.numCommitted = 0;
        shard.commitments = keccak256(abi.encode(block.chainid, this, id, index, job.state.globalRound, regionalRound));
        _setShardPhase(id, index, shard.state, ShardPhase.Collecting, _windowFromNow(job));
    }

    /// @dev Fewer commitments than `minNodes` never make a merge, even when members left and these are all.
    function _closeIfComplete(uint256 id, Job storage job, uint8 index, Shard storage shard) internal {
        uint16 numCommitted = shard.state.numCommitted;
        if (numCommitted == shard.state.numMembers && numCommitted >= job.state.minNodes) {
            _setShardPhase(id, index, shard.state, ShardPhase.Aggregating, _windowFromNow(job));
        }
    }

    function _acceptRegional(
        uint256 id,
        Job storage job,
        uint8 index,
        Shard storage shard,
        RegionalProposal calldata proposal,
        uint16 contributors
    ) internal {
        shard.model = proposal.model;
        if (contributors < shard.state.leastContributors) shard.state.leastContributors = contributors;
        _noteLoss(shard.state, proposal.lossMicros, job.parameters.minDeltaMicros);

        emit RegionalModelAccepted(
            id,
            index,
            proposal.globalRound,
            proposal.regionalRound,
            proposal.model,
            proposal.payload,
            contributors,
            proposal.lossMicros
        );
        if (!_isMature(shard.state, job.parameters)) {
            _openRegionalRound(id, job, index, shard, proposal.regionalRound + 1);
        } else if (shard.state.leastContributors >= job.parameters.minContributors) {
            _setShardPhase(id, index, shard.state, ShardPhase.Mature, _windowFromNow(job));
        } else {
            _stall(id, job, index, shard, StallReason.TooFewContributors);
            _settle(id, job);
        }
    }

    function _acceptGlobal(uint256 id, Job storage job, GlobalProposal calldata proposal, uint8 merged) internal {
        job.model = proposal.model;

        emit GlobalModelAccepted(id, proposal.globalRound, proposal.model, proposal.payload, merged, proposal.reports);
        uint16 next = proposal.globalRound + 1;
        if (next >= job.parameters.globalRounds) _setJobPhase(id, job, JobPhase.Complete, 0);
        else _openGlobalRound(id, job, next);
    }

    /// @dev Once every shard has reported or stalled: merge, try the stalled ones again, or fail. A stalled shard can
    /// be tried again while it has enough members, and only if `minShards` reports could come of it.
    function _settle(uint256 id, Job storage job) internal {
        uint256 numReported = job.state.numReported;
        if (numReported + job.state.numStalled < job.state.numShards) return;
        if (numReported >= job.parameters.minShards) {
            _setJobPhase(id, job, JobPhase.Merging, _windowFromNow(job));
            return;
        }
        uint256 reachable = numReported + _numReady(job, ShardPhase.Stalled);
        if (job.state.retries == job.parameters.maxRetries || reachable < job.parameters.minShards) {
            _setJobPhase(id, job, JobPhase.Failed, 0);
            return;
        }
        job.state.retries += 1;
        _setJobPhase(id, job, JobPhase.Training, _globalDeadline(job));
        uint256 numShards = job.state.numShards;
        for (uint256 i; i < numShards; ++i) {
            Shard storage shard = job.shards[i];
            if (_isReady(job, shard, ShardPhase.Stalled)) {
                job.state.numStalled -= 1;
                _openShard(id, job, uint8(i), shard, shard.state.regionalRound + 1);
            }
        }
    }

    function _stallUnreported(uint256 id, Job storage job) internal {
        uint256 numShards = job.state.numShards;
        for (uint256 i; i < numShards; ++i) {
            Shard storage shard = job.shards[i];
            if (shard.state.phase < ShardPhase.Reported) _stall(id, job, uint8(i), shard, StallReason.RoundOver);
        }
    }

    function _stall(uint256 id, Job storage job, uint8 index, Shard storage shard, StallReason reason) internal {
        shard.state.stall = reason;
        job.state.numStalled += 1;
        _setShardPhase(id, index, shard.state, ShardPhase.Stalled, 0);
    }

    /// @dev The one place where a job's phase changes.
    function _setJobPhase(uint256 id, Job storage job, JobPhase phase, uint40 deadline) internal {
        job.state.phase = phase;
        job.state.deadline = deadline;
        emit JobPhaseChanged(id, phase, job.state.globalRound, job.state.retries, deadline);
    }

    /// @dev The one place where a shard's phase changes.
    function _setShardPhase(
        uint256 id,
        uint8 index,
        LiveShard storage state,
        ShardPhase phase,
        uint40 deadline
    ) internal {
        state.phase = phase;
        state.deadline = deadline;
        emit ShardPhaseChanged(
            id,
            index,
            phase,
            state.stall,
            state.globalRound,
            state.regionalRound,
            state.retries,
            deadline
        );
    }

    function _noteLoss(LiveShard storage state, uint64 lossMicros, uint32 minDeltaMicros) internal {
        if (lossMicros == NO_LOSS) return;
        uint64 best = state.bestLossMicros;
        if (best == NO_LOSS || uint256(lossMicros) + minDeltaMicros < best) {
            state.bestLossMicros = lossMicros;
            state.staleRounds = 0;
        } else {
            state.staleRounds += 1;
        }
    }

    function _isMature(LiveShard storage state, JobParameters storage parameters) internal view returns (bool) {
        uint256 done = uint256(state.regionalRound) - state.firstRound + 1;
        if (done >= parameters.maxRegionalRounds) return true;
        return done >= parameters.minRegionalRounds && state.staleRounds >= parameters.patience;
    }

    /// @dev Shards that have enough members to train; with `Stalled`, only those that sit the round out.
    function _numReady(Job storage job, ShardPhase atLeast) internal view returns (uint256 number) {
        uint256 numShards = job.state.numShards;
        for (uint256 i; i < numShards; ++i) {
            if (_isReady(job, job.shards[i], atLeast)) ++number;
        }
    }

    function _isReady(Job storage job, Shard storage shard, ShardPhase atLeast) internal view returns (bool) {
        return shard.state.phase >= atLeast && shard.state.numMembers >= job.state.minNodes;
    }

    /// @dev Long enough for every regional round at its slowest, an export and all retries of one shard.
    function _globalDeadline(Job storage job) internal view returns (uint40) {
        uint256 windows = 2 * uint256(job.parameters.maxRegionalRounds) + job.parameters.maxRetries + 1;
        return uint40(block.timestamp + windows * job.state.collectWindowS);
    }

    function _windowFromNow(Job storage job) internal view returns (uint40) {
        return uint40(block.timestamp + job.state.collectWindowS);
    }
}
