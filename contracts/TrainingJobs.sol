// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {INodeRegistry, Refusal, Requirement} from "./interfaces/INodeRegistry.sol";
import {
    Committee,
    ExclusionReason,
    GlobalProposal,
    ITrainingJobs,
    JobParameters,
    JobPhase,
    JobState,
    RegionalProposal,
    ShardParameters,
    ShardPhase,
    StallReason
} from "./interfaces/ITrainingJobs.sol";
import {JobRounds} from "./jobs/JobRounds.sol";
import {JobLedger} from "./jobs/JobLedger.sol";
import {Bits} from "./libraries/Bits.sol";
import {JobRules} from "./libraries/JobRules.sol";
import {Seat, Seats} from "./libraries/Seats.sol";

/// @title TrainingJobs
/// @notice What anyone may do, and what is checked before.
contract TrainingJobs is JobRounds {
    uint256 private constant MAX_MEMBERS = 256;

    constructor(INodeRegistry nodes) JobLedger(nodes) {}

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
            hasDenied: denied != 0,
            hasBudget: parameters.epsilonMicros != 0
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
    function join(uint256 id, uint8 index, uint64 dataset) external override {
        Job storage job = _jobIn(id, JobPhase.Joining);
        _checkWindow(job.state.deadline);
        if (index >= job.state.numShards) revert UnknownShard(id, index);
        if (job.members[msg.sender].hasJoined()) revert AlreadyMember(msg.sender);
        Shard storage shard = job.shards[index];
        uint16 numMembers = shard.state.numMembers;
        if (numMembers == MAX_MEMBERS) revert ShardFull(index);
        uint8 place = _checkGate(job, shard.state.jurisdiction);

        if (job.state.hasBudget) {
            if (dataset == 0) revert DatasetRequired(id);
            BUDGETS.reserve(dataset, msg.sender, job.parameters.epsilonMicros, job.parameters.deltaAttos);
        } else if (dataset != 0) {
            revert NoBudget(id);
        }
        job.members[msg.sender] = Seats.take(job.state, index, place, dataset);
        shard.state.numMembers = numMembers + 1;

        emit MemberJoined(id, index, msg.sender, dataset);
    }

    /// @inheritdoc ITrainingJobs
    function leave(uint256 id) external override {
        Job storage job = _known(id);
        JobPhase phase = job.state.phase;
        if (phase != JobPhase.Joining && phase != JobPhase.Training) revert WrongJobPhase(id, phase);
        Seat seat = job.members[msg.sender];
        if (!seat.hasJoined()) revert NotMember(msg.sender);
        uint8 index = seat.shard();
        Shard storage shard = job.shards[index];
        bool collecting = shard.state.phase == ShardPhase.Collecting;
        if (collecting && _hasCommitted(shard.state, seat)) revert AlreadyCommitted(msg.sender);

        // What it committed before stays known, since a vote in progress may leave it out.
        bool unspent = phase == JobPhase.Joining && seat.dataset() != 0;
        job.members[msg.sender] = unspent ? seat.leave().release() : seat.leave();
        shard.state.numMembers -= 1;

        emit MemberLeft(id, index, msg.sender);
        if (unspent) {
            BUDGETS.giveBack(seat.dataset(), id, msg.sender, job.parameters.epsilonMicros, job.parameters.deltaAttos);
        }
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
        Seat seat = job.members[msg.sender];
        if (!seat.hasJoined()) revert NotMember(_senderIn(id));
        uint8 index = seat.shard();
        Shard storage shard = job.shards[index];
        LiveShard storage state = shard.state;
        if (state.phase != ShardPhase.Collecting || state.cancelled) {
            revert WrongShardPhase(_idIn(id), index, state.phase);
        }
        if (globalRound != state.globalRound || regionalRound != state.regionalRound) {
            revert WrongRound(state.globalRound, state.regionalRound);
        }
        _checkWindow(state.deadline);
        uint32 round = Seats.roundOf(globalRound, regionalRound);
        if (seat.hasCommitted(round)) revert AlreadyCommitted(msg.sender);
        if (digest == 0) revert ZeroDigest();
        uint8 place = _checkSeat(job, seat, state.jurisdiction);

        job.members[msg.sender] = seat.commit(round, place);
        shard.commitments = keccak256(abi.encode(shard.commitments, msg.sender, digest));
        uint16 numCommitted;
        // At most 256 members commit once a round.
        unchecked {
            numCommitted = state.numCommitted + 1;
        }
        state.numCommitted = numCommitted;

        emit UpdateCommitted(id, index, msg.sender, globalRound, regionalRound, digest);
        if (numCommitted == state.numMembers && numCommitted >= seat.minNodes()) {
            uint40 deadline = uint40(block.timestamp + seat.collectWindowS());
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
            NODES.codeAt(shard.state.jurisdiction),
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

    function _checkShards(ShardParameters[] calldata shards) private view returns (uint8[] memory jurisdictions) {
        jurisdictions = new uint8[](shards.length);
        uint256 all;
        for (uint256 i; i < shards.length; ++i) {
            JobRules.checkCommittee(shards[i].committee);
            jurisdictions[i] = NODES.indexOf(shards[i].jurisdiction);
            uint256 bit = 1 << jurisdictions[i];
            if (all & bit != 0) revert InvalidParameter("shards");
            all |= bit;
        }
        for (uint256 i; i < shards.length; ++i) {
            uint256 ancestors = NODES.closureOf(jurisdictions[i]) & ~(1 << jurisdictions[i]);
            if (ancestors & all != 0) revert InvalidParameter("shards");
        }
    }

    function _maskOf(bytes8[] calldata codes) private view returns (uint256 mask) {
        for (uint256 i; i < codes.length; ++i) {
            mask |= 1 << NODES.indexOf(codes[i]);
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
            Seat seat = job.members[node];
            bool known = node > previous && seat.shard() == index && _hasCommitted(shard.state, seat);
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

    function _hasCommitted(LiveShard storage state, Seat seat) private view returns (bool) {
        return seat.hasCommitted(Seats.roundOf(state.globalRound, state.regionalRound));
    }

    /// @dev Where the sender is.
    function _checkGate(Job storage job, uint8 jurisdiction) private view returns (uint8 place) {
        return _admit(_requirement(job, jurisdiction));
    }

    /// @dev The same for a member, without the job's deny list as long as the member is where it was when that list was
    /// last compared: neither the list nor what a place lies within ever changes.
    function _checkSeat(Job storage job, Seat seat, uint8 jurisdiction) private view returns (uint8 place) {
        Refusal reason;
        (reason, place) = NODES.eligibility(
            msg.sender,
            1 << jurisdiction,
            0,
            seat.maxTier(),
            seat.sensitivity(),
            seat.safeguards()
        );
        if (seat.hasDenied() && place != seat.place() && _isDenied(job, place, reason)) reason = Refusal.OutsideShard;
        if (reason != Refusal.None) revert NotEligible(msg.sender, reason);
    }

    /// @dev Whether the deny list is the first reason against a place; reasons come in a fixed order.
    function _isDenied(Job storage job, uint8 place, Refusal reason) private view returns (bool) {
        bool earlier = reason == Refusal.NotRegistered || reason == Refusal.AttestationExpired;
        return !earlier && NODES.closureOf(place) & job.denied != 0;
    }

    function _admit(Requirement memory requirement) private view returns (uint8 place) {
        Refusal reason;
        (reason, place) = NODES.eligibility(
            msg.sender,
            requirement.allowed,
            requirement.denied,
            requirement.maxTier,
            requirement.sensitivity,
            requirement.safeguards
        );
        if (reason != Refusal.None) revert NotEligible(msg.sender, reason);
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
}
