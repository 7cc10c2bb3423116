// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {INodeRegistry, Requirement, Sensitivity} from "../interfaces/INodeRegistry.sol";
import {
    Committee,
    ITrainingJobs,
    JobParameters,
    JobPhase,
    JobState,
    Member,
    ShardPhase,
    ShardState,
    StallReason
} from "../interfaces/ITrainingJobs.sol";
import {Seat} from "../libraries/Seats.sol";
import {IPrivacyLedger} from "../interfaces/IPrivacyLedger.sol";
import {PrivacyLedger} from "../PrivacyLedger.sol";

/// @title What is kept of jobs, and how it is read
abstract contract JobLedger is ITrainingJobs {
    /// @inheritdoc ITrainingJobs
    INodeRegistry public immutable override NODES;

    /// @notice Where the budgets of datasets are kept.
    IPrivacyLedger public immutable BUDGETS;

    /// @dev A ShardState and what a commit needs besides, so that it need not read the job.
    /// @param globalRound that of the job
    /// @param cancelled whether the job was
    struct LiveShard {
        ShardPhase phase;
        StallReason stall;
        uint8 jurisdiction;
        uint8 quorum;
        uint8 retries;
        uint8 staleRounds;
        uint16 regionalRound;
        uint16 firstRound;
        uint16 numMembers;
        uint16 numCommitted;
        uint16 leastContributors;
        uint40 deadline;
        uint64 bestLossMicros;
        uint16 globalRound;
        bool cancelled;
    }

    /// @param commitments running hash of the regional round; never zero once a round was opened
    struct Shard {
        LiveShard state;
        bytes32 commitments;
        bytes32 model;
        Committee committee;
    }

    struct Job {
        JobState state;
        bytes32 reports;
        uint256 denied;
        bytes32 model;
        address owner;
        JobParameters parameters;
        Committee committee;
        mapping(address node => Seat) members;
        mapping(uint256 index => Shard) shards;
    }

    // Slot map.
    //   0  number of jobs; ids count from 1
    //   1  id -> job:
    //        +0  state, one slot          +1  running hash of reports   +2  mask of denied jurisdictions
    //        +3  last global model        +4  owner
    //        +5  spec                     +6  the other numbers of the parameters, one slot
    //        +7  the budget's two numbers, one slot
    //        +8  denied codes             +9  members of the global committee   +10 its quorum
    //        +11 node -> seat, one slot
    //        +12 index -> shard: +0 state, one slot, +1 running hash, +2 last model, +3 committee, +4 its quorum
    //   2  proposal id -> bitmask of its voters by position in the committee
    uint256 internal _numJobs;
    mapping(uint256 id => Job) internal _jobs;
    mapping(bytes32 proposalId => uint32 voters) internal _votes;

    constructor(INodeRegistry nodes) {
        NODES = nodes;
        BUDGETS = new PrivacyLedger();
    }

    /// @inheritdoc ITrainingJobs
    function numJobs() external view override returns (uint256) {
        return _numJobs;
    }

    /// @inheritdoc ITrainingJobs
    function ownerOf(uint256 id) external view override returns (address) {
        return _known(id).owner;
    }

    /// @inheritdoc ITrainingJobs
    function jobState(uint256 id) external view override returns (JobState memory) {
        return _known(id).state;
    }

    /// @inheritdoc ITrainingJobs
    function parametersOf(uint256 id) external view override returns (JobParameters memory) {
        return _known(id).parameters;
    }

    /// @inheritdoc ITrainingJobs
    function shardState(uint256 id, uint8 index) external view override returns (ShardState memory) {
        return _shardState(_knownShard(id, _known(id), index).state);
    }

    /// @inheritdoc ITrainingJobs
    function snapshot(uint256 id) external view override returns (JobState memory state, ShardState[] memory shards) {
        Job storage job = _known(id);
        state = job.state;
        shards = new ShardState[](state.numShards);
        for (uint256 i; i < shards.length; ++i) {
            shards[i] = _shardState(job.shards[i].state);
        }
    }

    /// @inheritdoc ITrainingJobs
    function commitmentsOf(uint256 id, uint8 index) external view override returns (bytes32) {
        return _knownShard(id, _known(id), index).commitments;
    }

    /// @inheritdoc ITrainingJobs
    function reportsOf(uint256 id) external view override returns (bytes32) {
        return _known(id).reports;
    }

    /// @inheritdoc ITrainingJobs
    function regionalModelOf(uint256 id, uint8 index) external view override returns (bytes32) {
        return _knownShard(id, _known(id), index).model;
    }

    /// @inheritdoc ITrainingJobs
    function globalModelOf(uint256 id) external view override returns (bytes32) {
        return _known(id).model;
    }

    /// @inheritdoc ITrainingJobs
    function memberOf(uint256 id, address node) external view override returns (Member memory) {
        return _known(id).members[node].member();
    }

    /// @inheritdoc ITrainingJobs
    function requirementOf(uint256 id, uint8 index) external view override returns (Requirement memory) {
        Job storage job = _known(id);
        return _requirement(job, _knownShard(id, job, index).state.jurisdiction);
    }

    /// @inheritdoc ITrainingJobs
    function globalRequirementOf(uint256 id) external view override returns (Requirement memory) {
        return _globalRequirement(_known(id));
    }

    /// @inheritdoc ITrainingJobs
    function committeeOf(uint256 id, uint8 index) external view override returns (Committee memory) {
        return _knownShard(id, _known(id), index).committee;
    }

    /// @inheritdoc ITrainingJobs
    function globalCommitteeOf(uint256 id) external view override returns (Committee memory) {
        return _known(id).committee;
    }

    /// @inheritdoc ITrainingJobs
    function proposalVotes(bytes32 proposalId) external view override returns (uint32 voters) {
        return _votes[proposalId];
    }

    function _requirement(Job storage job, uint8 jurisdiction) internal view returns (Requirement memory) {
        return
            Requirement({
                allowed: 1 << jurisdiction,
                denied: job.state.hasDenied ? job.denied : 0,
                maxTier: job.state.maxTier,
                sensitivity: job.state.sensitivity,
                safeguards: job.state.safeguards
            });
    }

    /// @dev Any listed place: every bit but that of "none".
    function _globalRequirement(Job storage job) internal view returns (Requirement memory) {
        return
            Requirement({
                allowed: ~uint256(1),
                denied: job.denied,
                maxTier: job.state.maxTier,
                sensitivity: Sensitivity.Public,
                safeguards: 0
            });
    }

    function _shardState(LiveShard storage state) internal view returns (ShardState memory) {
        return
            ShardState({
                phase: state.phase,
                stall: state.stall,
                jurisdiction: state.jurisdiction,
                quorum: state.quorum,
                retries: state.retries,
                staleRounds: state.staleRounds,
                regionalRound: state.regionalRound,
                firstRound: state.firstRound,
                numMembers: state.numMembers,
                numCommitted: state.numCommitted,
                leastContributors: state.leastContributors,
                deadline: state.deadline,
                bestLossMicros: state.bestLossMicros
            });
    }

    function _jobIn(uint256 id, JobPhase phase) internal view returns (Job storage job) {
        job = _known(id);
        if (job.state.phase != phase) revert WrongJobPhase(id, job.state.phase);
    }

    function _known(uint256 id) internal view returns (Job storage job) {
        job = _jobs[id];
        if (job.state.phase == JobPhase.None) revert UnknownJob(id);
    }

    function _knownShard(uint256 id, Job storage job, uint8 index) internal view returns (Shard storage) {
        if (index >= job.state.numShards) revert UnknownShard(id, index);
        return job.shards[index];
    }

    /// @dev The sender; first refuses a job that is unknown or not training, so that the reason named is the true one.
    function _senderIn(uint256 id) internal view returns (address) {
        _jobIn(id, JobPhase.Training);
        return msg.sender;
    }

    /// @dev The id; refuses as `_senderIn` does.
    function _idIn(uint256 id) internal view returns (uint256) {
        _jobIn(id, JobPhase.Training);
        return id;
    }
}
