// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {INodeRegistry, Refusal, Requirement} from "./interfaces/INodeRegistry.sol";
import {
    Committee,
    ExclusionReason,
    ITrainingJobs,
    JobParameters,
    JobPhase,
    JobState,
    Member,
    ShardPhase,
    ShardState
} from "./interfaces/ITrainingJobs.sol";
import {Agreement, Answer, IUnmaskingBoard, SurvivorsProposal} from "./interfaces/IUnmaskingBoard.sol";
import {Bits} from "./libraries/Bits.sol";

/// @title UnmaskingBoard
/// @dev Trusts TrainingJobs, whose views say what round is in progress, and the gate that this one asks. A pair (global
/// round, regional round) of a shard never opens twice, so that the last round is all that needs keeping.
contract UnmaskingBoard is IUnmaskingBoard {
    uint24 private constant SECURE_AGGREGATION = 1 << 1;

    ITrainingJobs public immutable JOBS;

    /// @notice The gate of JOBS.
    INodeRegistry public immutable NODES;

    // Slot map.
    //   0  job -> shard -> last agreement, one slot
    //   1  job -> node -> last answer, one slot
    //   2  proposal id -> bitmask of its voters by position in the committee
    mapping(uint256 job => mapping(uint8 shard => Agreement)) private _agreements;
    mapping(uint256 job => mapping(address node => Answer)) private _answers;
    mapping(bytes32 proposalId => uint32 voters) private _votes;

    constructor(ITrainingJobs jobs) {
        JOBS = jobs;
        NODES = jobs.NODES();
    }

    /// @inheritdoc IUnmaskingBoard
    function voteSurvivors(uint256 job, uint8 shard, SurvivorsProposal calldata proposal) external override {
        JobState memory state = _secureJob(job);
        ShardState memory present = _shardIn(job, shard, state, proposal.globalRound, proposal.regionalRound);
        if (_isAgreed(job, shard, proposal.globalRound, proposal.regionalRound)) {
            revert SurvivorsAlreadyAgreed(proposal.globalRound, proposal.regionalRound);
        }
        uint256 voter = _positionIn(JOBS.committeeOf(job, shard));
        _checkGate(job, shard);
        uint16 survivors = _checkSurvivors(job, shard, state, present, proposal);

        bytes32 proposalId = keccak256(abi.encode(job, shard, proposal));
        bool agreed = _countVote(proposalId, voter, present.quorum);
        if (agreed) {
            bytes26 record = bytes26(keccak256(abi.encode(_agreements[job][shard].record, proposalId)));
            _agreements[job][shard] = Agreement(proposal.globalRound, proposal.regionalRound, survivors, record);
        }

        emit SurvivorsVote(job, shard, msg.sender, proposalId, proposal);
        if (agreed) {
            emit SurvivorsAgreed(job, shard, proposal.globalRound, proposal.regionalRound, proposalId, survivors);
        }
    }

    /// @inheritdoc IUnmaskingBoard
    function unmask(uint256 job, uint16 globalRound, uint16 regionalRound, bytes32 digest) external override {
        JobState memory state = _secureJob(job);
        Member memory member = JOBS.memberOf(job, msg.sender);
        if (!member.joined) revert ITrainingJobs.NotMember(msg.sender);
        uint8 shard = member.shard;
        _shardIn(job, shard, state, globalRound, regionalRound);
        if (!_isAgreed(job, shard, globalRound, regionalRound)) revert SurvivorsNotAgreed(globalRound, regionalRound);
        Answer memory last = _answers[job][msg.sender];
        if (last.given && last.globalRound == globalRound && last.regionalRound == regionalRound) {
            revert AlreadyUnmasked(msg.sender);
        }
        if (digest == 0) revert ITrainingJobs.ZeroDigest();
        _checkGate(job, shard);

        bytes26 record = bytes26(keccak256(abi.encode(last.record, globalRound, regionalRound, digest)));
        _answers[job][msg.sender] = Answer(true, globalRound, regionalRound, record);

        emit Unmasked(job, shard, msg.sender, globalRound, regionalRound, digest);
    }

    /// @inheritdoc IUnmaskingBoard
    function agreementOf(uint256 job, uint8 shard) external view override returns (Agreement memory) {
        return _agreements[job][shard];
    }

    /// @inheritdoc IUnmaskingBoard
    function answerOf(uint256 job, address node) external view override returns (Answer memory) {
        return _answers[job][node];
    }

    /// @inheritdoc IUnmaskingBoard
    function survivorsVotes(bytes32 proposalId) external view override returns (uint32 voters) {
        return _votes[proposalId];
    }

    /// @dev A quorum of one writes nothing: the vote is the agreement.
    function _countVote(bytes32 proposalId, uint256 voter, uint8 quorum) private returns (bool agreed) {
        uint32 voters = _votes[proposalId];
        uint32 bit = uint32(1 << voter);
        if (voters & bit != 0) revert ITrainingJobs.AlreadyVoted(msg.sender, proposalId);
        if (quorum == 1) return true;
        voters |= bit;
        _votes[proposalId] = voters;
        return Bits.count(voters) >= quorum;
    }

    function _secureJob(uint256 job) private view returns (JobState memory state) {
        state = JOBS.jobState(job);
        if (state.phase != JobPhase.Training) revert ITrainingJobs.WrongJobPhase(job, state.phase);
        if (state.safeguards & SECURE_AGGREGATION == 0) revert NothingMasked(job);
    }

    /// @dev The shard, which is aggregating the round that is named, within its window.
    function _shardIn(
        uint256 job,
        uint8 index,
        JobState memory state,
        uint16 globalRound,
        uint16 regionalRound
    ) private view returns (ShardState memory shard) {
        shard = JOBS.shardState(job, index);
        if (shard.phase != ShardPhase.Aggregating) revert ITrainingJobs.WrongShardPhase(job, index, shard.phase);
        if (globalRound != state.globalRound || regionalRound != shard.regionalRound) {
            revert ITrainingJobs.WrongRound(state.globalRound, shard.regionalRound);
        }
        if (block.timestamp >= shard.deadline) revert ITrainingJobs.WindowClosed(shard.deadline, block.timestamp);
    }

    function _isAgreed(
        uint256 job,
        uint8 shard,
        uint16 globalRound,
        uint16 regionalRound
    ) private view returns (bool agreed) {
        Agreement memory last = _agreements[job][shard];
        return last.survivors != 0 && last.globalRound == globalRound && last.regionalRound == regionalRound;
    }

    function _checkSurvivors(
        uint256 job,
        uint8 shard,
        JobState memory state,
        ShardState memory present,
        SurvivorsProposal calldata proposal
    ) private view returns (uint16 survivors) {
        bytes32 commitments = JOBS.commitmentsOf(job, shard);
        if (proposal.commitments != commitments) {
            revert ITrainingJobs.WrongCommitments(commitments, proposal.commitments);
        }
        address previous;
        for (uint256 i; i < proposal.excluded.length; ++i) {
            address node = proposal.excluded[i].node;
            Member memory member = JOBS.memberOf(job, node);
            bool known = node > previous && member.shard == shard && _hasCommitted(member, proposal);
            if (!known || proposal.excluded[i].reason == ExclusionReason.None) {
                revert ITrainingJobs.InvalidExclusion(node);
            }
            previous = node;
        }
        // Distinct, and each of them committed.
        survivors = present.numCommitted - uint16(proposal.excluded.length);
        JobParameters memory parameters = JOBS.parametersOf(job);
        uint256 required = Math.max(state.minNodes, parameters.minContributors);
        if (survivors < required) revert ITrainingJobs.TooFewContributors(required, survivors);
    }

    function _hasCommitted(Member memory member, SurvivorsProposal calldata proposal) private pure returns (bool) {
        return
            member.hasCommitted &&
            member.lastGlobalRound == proposal.globalRound &&
            member.lastRegionalRound == proposal.regionalRound;
    }

    /// @dev Position of the sender in a committee.
    function _positionIn(Committee memory committee) private view returns (uint256 position) {
        uint256 size = committee.members.length;
        for (; position < size; ++position) {
            if (committee.members[position] == msg.sender) return position;
        }
        revert ITrainingJobs.NotCommitteeMember(msg.sender);
    }

    function _checkGate(uint256 job, uint8 shard) private view {
        Requirement memory requirement = JOBS.requirementOf(job, shard);
        (Refusal reason, ) = NODES.eligibility(
            msg.sender,
            requirement.allowed,
            requirement.denied,
            requirement.maxTier,
            requirement.sensitivity,
            requirement.safeguards
        );
        if (reason != Refusal.None) revert ITrainingJobs.NotEligible(msg.sender, reason);
    }
}
