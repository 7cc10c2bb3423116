// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {NodeExclusion} from "./ITrainingJobs.sol";

/// @notice What a shard's committee votes on before anybody unmasks.
/// @param commitments running hash over exactly the set committed in this round
/// @param excluded committed updates that are not in the sum, in strictly ascending order of address; who committed and is
/// not among them is a survivor
struct SurvivorsProposal {
    uint16 globalRound;
    uint16 regionalRound;
    bytes32 commitments;
    NodeExclusion[] excluded;
}

/// @notice The last set that a shard's committee agreed on, in one storage slot; all zero where there is none.
/// @param survivors how many updates are in the sum
/// @param record running hash over all that was ever agreed on in the shard, cut to what the slot has room for
struct Agreement {
    uint16 globalRound;
    uint16 regionalRound;
    uint16 survivors;
    bytes26 record;
}

/// @notice The last round in which a member unmasked, in one storage slot.
/// @param given whether it ever did
/// @param record running hash over all its answers in the job, cut alike
struct Answer {
    bool given;
    uint16 globalRound;
    uint16 regionalRound;
    bytes26 record;
}

/// @title Secure aggregation: whose updates are summed, and who helped to unmask the sum
/// @notice In a job with the safeguard SECURE_AGGREGATION, a shard's committee first agrees on the survivors of a round, and
/// each survivor then answers to that set, once. Both happen while the shard is `Aggregating`, within its window.
/// @dev Running hashes start from zero. An agreement sets `h = bytes26(keccak256(abi.encode(h, proposalId)))`, an answer
/// `h = bytes26(keccak256(abi.encode(h, globalRound, regionalRound, digest)))`: the slots that are written anyway bind
/// every event.
/// A set is final. Members MUST answer to no other set than this one, so that nobody obtains what unmasks two
/// different sums of one round.
/// Outside parties: committee members may vote for any exclusions, also for several proposals; only equal ones add up. That
/// the merged model leaves out exactly who is excluded here is for those who replay the record to see: TrainingJobs does
/// not know this contract. Members may name any digest.
interface IUnmaskingBoard {
    /// @notice A vote; the whole proposal travels with each, so that any vote can be replayed alone.
    event SurvivorsVote(
        uint256 indexed job,
        uint8 indexed shard,
        address indexed voter,
        bytes32 proposalId,
        SurvivorsProposal proposal
    );
    event SurvivorsAgreed(
        uint256 indexed job,
        uint8 indexed shard,
        uint16 globalRound,
        uint16 regionalRound,
        bytes32 proposalId,
        uint16 survivors
    );
    /// @param digest of the sealed answer in the region store
    event Unmasked(
        uint256 indexed job,
        uint8 indexed shard,
        address indexed node,
        uint16 globalRound,
        uint16 regionalRound,
        bytes32 digest
    );

    /// @notice The job does not demand SECURE_AGGREGATION, so that nothing is masked.
    error NothingMasked(uint256 job);
    error SurvivorsAlreadyAgreed(uint16 globalRound, uint16 regionalRound);
    error SurvivorsNotAgreed(uint16 globalRound, uint16 regionalRound);
    /// @notice The member answered in this round, with whatever digest.
    error AlreadyUnmasked(address node);

    /// @notice Votes for the survivors of a round; with the committee's quorum the set is final. Asks the gate. Survivors
    /// are at least `minContributors` and `minNodes`, without which the round could never be merged.
    function voteSurvivors(uint256 job, uint8 shard, SurvivorsProposal calldata proposal) external;

    /// @notice Enters the sender's answer to the survivors of its shard's round, once a round. Members only; that
    /// it is a survivor is not looked at, since an answer that nobody asked for is left unread. Asks the gate.
    function unmask(uint256 job, uint16 globalRound, uint16 regionalRound, bytes32 digest) external;

    /// @notice The last set agreed on in a shard.
    function agreementOf(uint256 job, uint8 shard) external view returns (Agreement memory);

    /// @notice The last round in which an account unmasked in a job.
    function answerOf(uint256 job, address node) external view returns (Answer memory);

    /// @notice Mask of a proposal's voters by position in the committee; empty where one vote was enough.
    function survivorsVotes(bytes32 proposalId) external view returns (uint32 voters);
}
