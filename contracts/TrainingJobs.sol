// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IJurisdictionRegistry, Tier} from "./interfaces/IJurisdictionRegistry.sol";
import {INodeRegistry, Refusal, Requirement, Sensitivity} from "./interfaces/INodeRegistry.sol";
import {
    Committee,
    ExclusionReason,
    GlobalProposal,
    ITrainingJobs,
    JobParameters,
    JobPhase,
    JobState,
    Member,
    RegionalProposal,
    ShardParameters,
    ShardPhase,
    ShardState,
    StallReason
} from "./interfaces/ITrainingJobs.sol";
import {Bits} from "./libraries/Bits.sol";
import {JobRules} from "./libraries/JobRules.sol";

/// @title TrainingJobs
contract TrainingJobs is ITrainingJobs {
    uint64 private constant NO_LOSS = type(uint64).max;
    uint16 private constant NO_CONTRIBUTORS_YET = type(uint16).max;
    uint256 private constant MAX_MEMBERS = 256;

    /// @notice Where participants, their attestations and clearance are kept: the gate.
    INodeRegistry public immutable NODES;
    /// @notice Where jurisdictions and their tiers are listed.
    IJurisdictionRegistry public immutable JURISDICTIONS;

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

    /// @dev A Member and those figures of its job that never change, copied at joining for the same reason.
    struct Seat {
        bool joined;
        bool hasCommitted;
        uint8 shard;
        uint16 lastGlobalRound;
        uint16 lastRegionalRound;
        Sensitivity sensitivity;
        Tier maxTier;
        uint24 safeguards;
        bool hasDenied;
        uint16 minNodes;
        uint32 collectWindowS;
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
    //        +5  spec                     +6  all other numbers of the parameters, one slot
    //        +7  denied codes             +8  members of the global committee   +9  its quorum
    //        +10 node -> seat, one slot
    //        +11 index -> shard: +0 state, one slot, +1 running hash, +2 last model, +3 committee, +4 its quorum
    //   2  proposal id -> bitmask of its voters by position in the committee
    uint256 private _numJobs;
    mapping(uint256 id => Job) private _jobs;
    mapping(bytes32 proposalId => uint32 voters) private _votes;

    constructor(INodeRegistry nodes, IJurisdictionRegistry jurisdictions) {
        NODES = nodes;
        JURISDICTIONS = jurisdictions;
    }

    /// @inheritdoc ITrainingJobs
    function createJob(
        JobParameters calldata parameters,
        ShardParameters[] calldata shards,
        Committee calldata globalCommittee
    ) external override returns (uint256 id) {
        JobRules.check(parameters, shards.length);
        JobRules.checkCommittee(globalCommittee);
        uint8[] memory jurisdictions = _checkShards(shards);
        uint256 denied = _maskOf(parameters.denied);

        id = ++_numJobs;
        Job storage job = _jobs[id];
        job.owner = msg.sender;
        job.denied = denied;
        job.parameters = parameters;
        job.committee = globalCommittee;
        uint40 deadline = uint40(block.timestamp) + parameters.joinWindowS;
        job.state = JobState({
            phase: JobPhase.Joining,
            globalRound: 0,
            retries: 0,
            numShards: uint8(shards.length),
            numReported: 0,
            numStalled: 0,
            deadline: deadline,
            collectWindowS: parameters.collectWindowS,
            sensitivity: parameters.sensitivity,
            maxTier: parameters.maxTier,
            safeguards: parameters.safeguards,
            minNodes: parameters.minNodes,
            hasDenied: denied != 0
        });

        emit JobCreated(id, msg.sender, parameters, globalCommittee);
        for (uint256 i; i < shards.length; ++i) {
            Shard storage shard = job.shards[i];
            shard.state.jurisdiction = jurisdictions[i];
            shard.state.quorum = shards[i].committee.quorum;
            shard.committee = shards[i].committee;
            emit ShardCreated(id, uint8(i), shards[i]);
        }
        emit JobPhaseChanged(id, JobPhase.Joining, 0, 0, deadline);
    }

    /// @inheritdoc ITrainingJobs
    function join(uint256 id, uint8 index) external override {
        Job storage job = _jobIn(id, JobPhase.Joining);
        _checkWindow(job.state.deadline);
        if (index >= job.state.numShards) revert UnknownShard(id, index);
        Seat storage member = job.members[msg.sender];
        if (member.joined) revert AlreadyMember(msg.sender);
        Shard storage shard = job.shards[index];
        uint16 numMembers = shard.state.numMembers;
        if (numMembers == MAX_MEMBERS) revert ShardFull(index);
        _checkGate(job, shard.state.jurisdiction);

        job.members[msg.sender] = _seat(job.state, index);
        shard.state.numMembers = numMembers + 1;

        emit MemberJoined(id, index, msg.sender);
    }

    /// @inheritdoc ITrainingJobs
    function leave(uint256 id) external override {
        Job storage job = _known(id);
        JobPhase phase = job.state.phase;
        if (phase != JobPhase.Joining && phase != JobPhase.Training) revert WrongJobPhase(id, phase);
        Seat storage member = job.members[msg.sender];
        if (!member.joined) revert NotMember(msg.sender);
        uint8 index = member.shard;
        Shard storage shard = job.shards[index];
        bool collecting = shard.state.phase == ShardPhase.Collecting;
        if (collecting && _hasCommitted(shard.state, member)) revert AlreadyCommitted(msg.sender);

        // What it committed before stays known, since a vote in progress may leave it out.
        member.joined = false;
        shard.state.numMembers -= 1;

        emit MemberLeft(id, index, msg.sender);
        if (collecting) _closeIfComplete(id, job, index, shard);
    }

    /// @inheritdoc ITrainingJobs
    function start(uint256 id) external override {
        Job storage job = _jobIn(id, JobPhase.Joining);
        if (msg.sender != job.owner) revert NotOwner(msg.sender);
        _checkWindow(job.state.deadline);
        uint256 ready = _numReady(job, ShardPhase.Idle);
        if (ready < job.parameters.minShards) revert TooFewShards(job.parameters.minShards, ready);

        _openGlobalRound(id, job, 0);
    }

    /// @inheritdoc ITrainingJobs
    function cancel(uint256 id) external override {
        Job storage job = _known(id);
        if (msg.sender != job.owner) revert NotOwner(msg.sender);
        if (job.state.phase > JobPhase.Merging) revert WrongJobPhase(id, job.state.phase);

        uint256 numShards = job.state.numShards;
        for (uint256 i; i < numShards; ++i) {
            job.shards[i].state.cancelled = true;
        }
        _setJobPhase(id, job, JobPhase.Cancelled, 0);
    }

    /// @inheritdoc ITrainingJobs
    /// @dev The one action that every node repeats every round; it reads and writes three slots here.
    function commit(uint256 id, uint16 globalRound, uint16 regionalRound, bytes32 digest) external override {
        Job storage job = _jobs[id];
        Seat storage member = job.members[msg.sender];
        if (!member.joined) revert NotMember(_senderIn(id));
        uint8 index = member.shard;
        Shard storage shard = job.shards[index];
        LiveShard storage state = shard.state;
        if (state.phase != ShardPhase.Collecting || state.cancelled) {
            revert WrongShardPhase(_idIn(id), index, state.phase);
        }
        if (globalRound != state.globalRound || regionalRound != state.regionalRound) {
            revert WrongRound(state.globalRound, state.regionalRound);
        }
        _checkWindow(state.deadline);
        if (_hasCommitted(state, member)) revert AlreadyCommitted(msg.sender);
        if (digest == 0) revert ZeroDigest();
        _admit(_requirementOf(job, member, state.jurisdiction));

        member.hasCommitted = true;
        member.lastGlobalRound = globalRound;
        member.lastRegionalRound = regionalRound;
        shard.commitments = keccak256(abi.encode(shard.commitments, msg.sender, digest));
        uint16 numCommitted;
        // At most 256 members commit once a round.
        unchecked {
            numCommitted = state.numCommitted + 1;
        }
        state.numCommitted = numCommitted;

        emit UpdateCommitted(id, index, msg.sender, globalRound, regionalRound, digest);
        if (numCommitted == state.numMembers && numCommitted >= member.minNodes) {
            uint40 deadline = uint40(block.timestamp + member.collectWindowS);
            _setShardPhase(id, index, state, ShardPhase.Aggregating, deadline);
        }
    }

    /// @inheritdoc ITrainingJobs
    function voteRegional(uint256 id, uint8 index, RegionalProposal calldata proposal) external override {
        Job storage job = _jobIn(id, JobPhase.Training);
        Shard storage shard = _knownShard(id, job, index);
        _checkShard(id, index, shard.state, ShardPhase.Aggregating);
        _checkRounds(job, shard.state, proposal.globalRound, proposal.regionalRound);
        _checkWindow(shard.state.deadline);
        uint256 voter = _positionIn(shard.committee);
        _checkGate(job, shard.state.jurisdiction);
        uint16 contributors = _checkRegional(job, shard, index, proposal);

        bytes32 proposalId = keccak256(abi.encode(id, index, proposal));
        bool accepted = _countVote(proposalId, voter, shard.state.quorum);

        emit RegionalVote(id, index, msg.sender, proposalId, proposal);
        if (accepted) _acceptRegional(id, job, index, shard, proposal, contributors);
    }

    /// @inheritdoc ITrainingJobs
    function reportExport(uint256 id, uint8 index, uint16 globalRound, bytes32 payload) external override {
        Job storage job = _jobIn(id, JobPhase.Training);
        Shard storage shard = _knownShard(id, job, index);
        _checkShard(id, index, shard.state, ShardPhase.Mature);
        _checkRounds(job, shard.state, globalRound, shard.state.regionalRound);
        _checkWindow(shard.state.deadline);
        _positionIn(shard.committee);
        if (payload == 0) revert ZeroDigest();
        _checkGate(job, shard.state.jurisdiction);

        job.reports = keccak256(abi.encode(job.reports, index, shard.model, payload));
        job.state.numReported += 1;

        emit ModelExported(
            id,
            index,
            msg.sender,
            globalRound,
            JURISDICTIONS.codeAt(shard.state.jurisdiction),
            shard.state.leastContributors,
            shard.model,
            payload
        );
        _setShardPhase(id, index, shard.state, ShardPhase.Reported, 0);
        _settle(id, job);
    }

    /// @inheritdoc ITrainingJobs
    function voteGlobal(uint256 id, GlobalProposal calldata proposal) external override {
        Job storage job = _jobIn(id, JobPhase.Merging);
        if (proposal.globalRound != job.state.globalRound) revert WrongRound(job.state.globalRound, 0);
        _checkWindow(job.state.deadline);
        uint256 voter = _positionIn(job.committee);
        _admit(_globalRequirement(job));
        uint8 merged = _checkGlobal(job, proposal);

        bytes32 proposalId = keccak256(abi.encode(id, proposal));
        bool accepted = _countVote(proposalId, voter, job.committee.quorum);

        emit GlobalVote(id, msg.sender, proposalId, proposal);
        if (accepted) _acceptGlobal(id, job, proposal, merged);
    }

    /// @inheritdoc ITrainingJobs
    function advance(uint256 id) external override {
        Job storage job = _known(id);
        JobPhase phase = job.state.phase;
        if (phase > JobPhase.Merging) revert NothingToAdvance(id);
        _checkWindowOver(job.state.deadline);

        if (phase == JobPhase.Joining) {
            _openGlobalRound(id, job, 0);
        } else if (phase == JobPhase.Training) {
            _stallUnreported(id, job);
            _settle(id, job);
        } else if (job.state.retries < job.parameters.maxRetries) {
            job.state.retries += 1;
            _setJobPhase(id, job, JobPhase.Merging, _windowFromNow(job));
        } else {
            _setJobPhase(id, job, JobPhase.Failed, 0);
        }
    }

    /// @inheritdoc ITrainingJobs
    function advanceShard(uint256 id, uint8 index) external override {
        Job storage job = _jobIn(id, JobPhase.Training);
        Shard storage shard = _knownShard(id, job, index);
        ShardPhase phase = shard.state.phase;
        if (phase < ShardPhase.Collecting || phase > ShardPhase.Mature) revert WrongShardPhase(id, index, phase);
        _checkWindowOver(shard.state.deadline);

        if (phase == ShardPhase.Collecting && shard.state.numCommitted >= job.state.minNodes) {
            _setShardPhase(id, index, shard.state, ShardPhase.Aggregating, _windowFromNow(job));
        } else if (shard.state.retries < job.parameters.maxRetries) {
            shard.state.retries += 1;
            _setShardPhase(id, index, shard.state, phase, _windowFromNow(job));
        } else {
            _stall(id, job, index, shard, _reasonIn(phase));
            _settle(id, job);
        }
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
        Seat storage seat = _known(id).members[node];
        return
            Member({
                joined: seat.joined,
                hasCommitted: seat.hasCommitted,
                shard: seat.shard,
                lastGlobalRound: seat.lastGlobalRound,
                lastRegionalRound: seat.lastRegionalRound
            });
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

    /// @dev Opens a global round, or fails the job where fewer than `minShards` shards could report in it.
    function _openGlobalRound(uint256 id, Job storage job, uint16 globalRound) private {
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
    function _resetShard(LiveShard storage state, uint16 firstRound, uint16 globalRound) private {
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

    function _openShard(uint256 id, Job storage job, uint8 index, Shard storage shard, uint16 firstRound) private {
        _resetShard(shard.state, firstRound, job.state.globalRound);
        _openRegionalRound(id, job, index, shard, firstRound);
    }

    function _openRegionalRound(
        uint256 id,
        Job storage job,
        uint8 index,
        Shard storage shard,
        uint16 regionalRound
    ) private {
        shard.state.regionalRound = regionalRound;
        shard.state.numCommitted = 0;
        shard.commitments = keccak256(abi.encode(block.chainid, this, id, index, job.state.globalRound, regionalRound));
        _setShardPhase(id, index, shard.state, ShardPhase.Collecting, _windowFromNow(job));
    }

    /// @dev Fewer commitments than `minNodes` never make a merge, even when members left and these are all.
    function _closeIfComplete(uint256 id, Job storage job, uint8 index, Shard storage shard) private {
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
    ) private {
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

    function _acceptGlobal(uint256 id, Job storage job, GlobalProposal calldata proposal, uint8 merged) private {
        job.model = proposal.model;

        emit GlobalModelAccepted(id, proposal.globalRound, proposal.model, proposal.payload, merged, proposal.reports);
        uint16 next = proposal.globalRound + 1;
        if (next >= job.parameters.globalRounds) _setJobPhase(id, job, JobPhase.Complete, 0);
        else _openGlobalRound(id, job, next);
    }

    /// @dev Once every shard has reported or stalled: merge, try the stalled ones again, or fail. A stalled shard can
    /// be tried again while it has enough members, and only if `minShards` reports could come of it.
    function _settle(uint256 id, Job storage job) private {
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

    function _stallUnreported(uint256 id, Job storage job) private {
        uint256 numShards = job.state.numShards;
        for (uint256 i; i < numShards; ++i) {
            Shard storage shard = job.shards[i];
            if (shard.state.phase < ShardPhase.Reported) _stall(id, job, uint8(i), shard, StallReason.RoundOver);
        }
    }

    function _stall(uint256 id, Job storage job, uint8 index, Shard storage shard, StallReason reason) private {
        shard.state.stall = reason;
        job.state.numStalled += 1;
        _setShardPhase(id, index, shard.state, ShardPhase.Stalled, 0);
    }

    /// @dev The one place where a job's phase changes.
    function _setJobPhase(uint256 id, Job storage job, JobPhase phase, uint40 deadline) private {
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
    ) private {
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

    /// @dev A quorum of one writes nothing: the vote is the acceptance.
    function _countVote(bytes32 proposalId, uint256 voter, uint8 quorum) private returns (bool accepted) {
        uint32 voters = _votes[proposalId];
        uint32 bit = uint32(1 << voter);
        if (voters & bit != 0) revert AlreadyVoted(msg.sender, proposalId);
        if (quorum == 1) return true;
        voters |= bit;
        _votes[proposalId] = voters;
        return Bits.count(voters) >= quorum;
    }

    function _noteLoss(LiveShard storage state, uint64 lossMicros, uint32 minDeltaMicros) private {
        if (lossMicros == NO_LOSS) return;
        uint64 best = state.bestLossMicros;
        if (best == NO_LOSS || uint256(lossMicros) + minDeltaMicros < best) {
            state.bestLossMicros = lossMicros;
            state.staleRounds = 0;
        } else {
            state.staleRounds += 1;
        }
    }

    function _isMature(LiveShard storage state, JobParameters storage parameters) private view returns (bool) {
        uint256 done = uint256(state.regionalRound) - state.firstRound + 1;
        if (done >= parameters.maxRegionalRounds) return true;
        return done >= parameters.minRegionalRounds && state.staleRounds >= parameters.patience;
    }

    function _checkShards(ShardParameters[] calldata shards) private view returns (uint8[] memory jurisdictions) {
        jurisdictions = new uint8[](shards.length);
        uint256 all;
        for (uint256 i; i < shards.length; ++i) {
            JobRules.checkCommittee(shards[i].committee);
            jurisdictions[i] = JURISDICTIONS.indexOf(shards[i].jurisdiction);
            uint256 bit = 1 << jurisdictions[i];
            if (all & bit != 0) revert InvalidParameter("shards");
            all |= bit;
        }
        for (uint256 i; i < shards.length; ++i) {
            uint256 ancestors = JURISDICTIONS.closureOf(jurisdictions[i]) & ~(1 << jurisdictions[i]);
            if (ancestors & all != 0) revert InvalidParameter("shards");
        }
    }

    function _maskOf(bytes8[] calldata codes) private view returns (uint256 mask) {
        for (uint256 i; i < codes.length; ++i) {
            mask |= 1 << JURISDICTIONS.indexOf(codes[i]);
        }
    }

    function _checkRegional(
        Job storage job,
        Shard storage shard,
        uint8 index,
        RegionalProposal calldata proposal
    ) private view returns (uint16 contributors) {
        if (proposal.model == 0 || proposal.payload == 0) revert ZeroDigest();
        if (proposal.commitments != shard.commitments) {
            revert WrongCommitments(shard.commitments, proposal.commitments);
        }
        address previous;
        for (uint256 i; i < proposal.excluded.length; ++i) {
            address node = proposal.excluded[i].node;
            Seat storage member = job.members[node];
            bool known = node > previous && member.shard == index && _hasCommitted(shard.state, member);
            if (!known || proposal.excluded[i].reason == ExclusionReason.None) revert InvalidExclusion(node);
            previous = node;
        }
        contributors = shard.state.numCommitted - uint16(proposal.excluded.length);
        if (contributors < job.state.minNodes) revert TooFewContributors(job.state.minNodes, contributors);
        bool publishable = contributors >= job.parameters.minContributors;
        if (publishable == (proposal.lossMicros == NO_LOSS)) {
            revert LossNotPublishable(proposal.lossMicros, contributors);
        }
    }

    function _checkGlobal(Job storage job, GlobalProposal calldata proposal) private view returns (uint8 merged) {
        if (proposal.model == 0 || proposal.payload == 0) revert ZeroDigest();
        if (proposal.reports != job.reports) revert WrongReports(job.reports, proposal.reports);
        uint256 next;
        for (uint256 i; i < proposal.excluded.length; ++i) {
            uint8 index = proposal.excluded[i].shard;
            bool known = index >= next && job.shards[index].state.phase == ShardPhase.Reported;
            if (!known || proposal.excluded[i].reason == ExclusionReason.None) revert InvalidShardExclusion(index);
            next = uint256(index) + 1;
        }
        merged = job.state.numReported - uint8(proposal.excluded.length);
        if (merged < job.parameters.minShards) revert TooFewShards(job.parameters.minShards, merged);
    }

    /// @dev Position of the sender in a committee.
    function _positionIn(Committee storage committee) private view returns (uint256 position) {
        uint256 size = committee.members.length;
        for (; position < size; ++position) {
            if (committee.members[position] == msg.sender) return position;
        }
        revert NotCommitteeMember(msg.sender);
    }

    function _hasCommitted(LiveShard storage state, Seat storage member) private view returns (bool) {
        return
            member.hasCommitted &&
            member.lastGlobalRound == state.globalRound &&
            member.lastRegionalRound == state.regionalRound;
    }

    function _checkGate(Job storage job, uint8 jurisdiction) private view {
        _admit(_requirement(job, jurisdiction));
    }

    function _admit(Requirement memory requirement) private view {
        Refusal reason = NODES.refusal(msg.sender, requirement);
        if (reason != Refusal.None) revert NotEligible(msg.sender, reason);
    }

    function _requirement(Job storage job, uint8 jurisdiction) private view returns (Requirement memory) {
        return
            Requirement({
                allowed: 1 << jurisdiction,
                denied: job.state.hasDenied ? job.denied : 0,
                maxTier: job.state.maxTier,
                sensitivity: job.state.sensitivity,
                safeguards: job.state.safeguards
            });
    }

    /// @dev The same as `_requirement`, from the seat's copy of the job's figures.
    function _requirementOf(
        Job storage job,
        Seat storage member,
        uint8 jurisdiction
    ) private view returns (Requirement memory) {
        return
            Requirement({
                allowed: 1 << jurisdiction,
                denied: member.hasDenied ? job.denied : 0,
                maxTier: member.maxTier,
                sensitivity: member.sensitivity,
                safeguards: member.safeguards
            });
    }

    function _seat(JobState storage state, uint8 index) private view returns (Seat memory) {
        return
            Seat({
                joined: true,
                hasCommitted: false,
                shard: index,
                lastGlobalRound: 0,
                lastRegionalRound: 0,
                sensitivity: state.sensitivity,
                maxTier: state.maxTier,
                safeguards: state.safeguards,
                hasDenied: state.hasDenied,
                minNodes: state.minNodes,
                collectWindowS: state.collectWindowS
            });
    }

    function _shardState(LiveShard storage state) private view returns (ShardState memory) {
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

    /// @dev The sender; first refuses a job that is unknown or not training, so that the reason named is the true one.
    function _senderIn(uint256 id) private view returns (address) {
        _jobIn(id, JobPhase.Training);
        return msg.sender;
    }

    /// @dev The id; refuses as `_senderIn` does.
    function _idIn(uint256 id) private view returns (uint256) {
        _jobIn(id, JobPhase.Training);
        return id;
    }

    /// @dev Any listed place: every bit but that of "none".
    function _globalRequirement(Job storage job) private view returns (Requirement memory) {
        return
            Requirement({
                allowed: ~uint256(1),
                denied: job.denied,
                maxTier: job.state.maxTier,
                sensitivity: Sensitivity.Public,
                safeguards: 0
            });
    }

    /// @dev Shards that have enough members to train; with `Stalled`, only those that sit the round out.
    function _numReady(Job storage job, ShardPhase atLeast) private view returns (uint256 number) {
        uint256 numShards = job.state.numShards;
        for (uint256 i; i < numShards; ++i) {
            if (_isReady(job, job.shards[i], atLeast)) ++number;
        }
    }

    function _isReady(Job storage job, Shard storage shard, ShardPhase atLeast) private view returns (bool) {
        return shard.state.phase >= atLeast && shard.state.numMembers >= job.state.minNodes;
    }

    /// @dev Long enough for every regional round at its slowest, an export and all retries of one shard.
    function _globalDeadline(Job storage job) private view returns (uint40) {
        uint256 windows = 2 * uint256(job.parameters.maxRegionalRounds) + job.parameters.maxRetries + 1;
        return uint40(block.timestamp + windows * job.state.collectWindowS);
    }

    function _windowFromNow(Job storage job) private view returns (uint40) {
        return uint40(block.timestamp + job.state.collectWindowS);
    }

    function _reasonIn(ShardPhase phase) private pure returns (StallReason) {
        if (phase == ShardPhase.Collecting) return StallReason.TooFewUpdates;
        return phase == ShardPhase.Aggregating ? StallReason.NoQuorum : StallReason.NotExported;
    }

    function _checkShard(uint256 id, uint8 index, LiveShard storage state, ShardPhase phase) private view {
        if (state.phase != phase) revert WrongShardPhase(id, index, state.phase);
    }

    function _checkRounds(
        Job storage job,
        LiveShard storage state,
        uint16 globalRound,
        uint16 regionalRound
    ) private view {
        if (globalRound != job.state.globalRound || regionalRound != state.regionalRound) {
            revert WrongRound(job.state.globalRound, state.regionalRound);
        }
    }

    function _checkWindow(uint40 deadline) private view {
        if (block.timestamp >= deadline) revert WindowClosed(deadline, block.timestamp);
    }

    function _checkWindowOver(uint40 deadline) private view {
        if (block.timestamp < deadline) revert WindowStillOpen(deadline, block.timestamp);
    }

    function _jobIn(uint256 id, JobPhase phase) private view returns (Job storage job) {
        job = _known(id);
        if (job.state.phase != phase) revert WrongJobPhase(id, job.state.phase);
    }

    function _known(uint256 id) private view returns (Job storage job) {
        job = _jobs[id];
        if (job.state.phase == JobPhase.None) revert UnknownJob(id);
    }

    function _knownShard(uint256 id, Job storage job, uint8 index) private view returns (Shard storage) {
        if (index >= job.state.numShards) revert UnknownShard(id, index);
        return job.shards[index];
    }
}
