// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Tier} from "./IJurisdictionRegistry.sol";
import {INodeRegistry, Refusal, Requirement, Sensitivity} from "./INodeRegistry.sol";

/// @notice `Joining`: members come in. `Training`: shards run regional rounds. `Merging`: the global
/// committee merges the reported models. The last three are final.
/// @dev A global round (or another try of its stalled shards) is not opened when fewer than `minShards` shards could
/// report in it: the job is `Failed`.
enum JobPhase {
    None,
    Joining,
    Training,
    Merging,
    Complete,
    Cancelled,
    Failed
}

/// @notice `Collecting`: members commit updates. `Aggregating`: the committee votes on the regional
/// model. `Mature`: the regional model may be exported. `Reported`: it was. `Stalled`: the shard sits
/// this global round out.
enum ShardPhase {
    Idle,
    Collecting,
    Aggregating,
    Mature,
    Reported,
    Stalled
}

/// @notice Why a shard sits a global round out.
enum StallReason {
    None,
    TooFewMembers,
    TooFewUpdates,
    NoQuorum,
    TooFewContributors,
    NotExported,
    RoundOver
}

/// @notice Why a committed update (or a reported model) is left out of a merge.
enum ExclusionReason {
    None,
    Ineligible,
    Unavailable,
    Unopenable,
    Malformed,
    NotFinite,
    NormExceeded
}

/// @param minNodes updates without which a regional round is not merged, at least 2
/// @param minContributors merged updates without which no regional model or figure leaves, at least 3
/// @param minShards reported models without which there is no global merge
/// @param minDeltaMicros by how many millionths the validation loss must fall to count as better
/// @param patience regional rounds without improvement after which a regional model is mature
/// @param maxRetries windows granted anew in one global round before a shard stalls (or a merge fails)
/// @param collectWindowS the job clock: seconds of a collecting, aggregating, exporting or merging window
/// @param epsilonMicros what the job may spend of each member's dataset over all its rounds, in millionths; 0 for a job
/// without differential privacy, which reserves nothing and takes no dataset that has a budget
/// @param deltaAttos the same of delta, in units of 1e-18
struct JobParameters {
    bytes32 spec;
    uint32 joinWindowS;
    uint32 collectWindowS;
    uint16 globalRounds;
    uint8 minRegionalRounds;
    uint8 maxRegionalRounds;
    uint8 patience;
    uint32 minDeltaMicros;
    uint8 maxRetries;
    uint16 minNodes;
    uint16 minContributors;
    uint8 minShards;
    Sensitivity sensitivity;
    Tier maxTier;
    uint24 safeguards;
    uint64 epsilonMicros;
    uint64 deltaAttos;
    bytes8[] denied;
}

/// @param quorum votes of distinct members for one and the same proposal that accept it
struct Committee {
    address[] members;
    uint8 quorum;
}

struct ShardParameters {
    bytes8 jurisdiction;
    Committee committee;
}

struct NodeExclusion {
    address node;
    ExclusionReason reason;
}

struct ShardExclusion {
    uint8 shard;
    ExclusionReason reason;
}

/// @notice What a regional committee votes on.
/// @param commitments running hash over exactly the set committed in this round
/// @param model sha-256 of the plain model bytes
/// @param payload digest of the sealed model in the region store
/// @param lossMicros validation loss, in millionths, of the model that the round started from, over the
/// contributors; `NO_LOSS` where these are fewer than `minContributors`, since it would be theirs alone
/// @param excluded committed updates left out, in strictly ascending order of address
struct RegionalProposal {
    uint16 globalRound;
    uint16 regionalRound;
    bytes32 commitments;
    bytes32 model;
    bytes32 payload;
    uint64 lossMicros;
    NodeExclusion[] excluded;
}

/// @notice What the global committee votes on.
/// @param reports running hash over exactly the set reported in this round
/// @param payload digest of the sealed model in the border store
struct GlobalProposal {
    uint16 globalRound;
    bytes32 reports;
    bytes32 model;
    bytes32 payload;
    ShardExclusion[] excluded;
}

/// @notice What every action on a job reads; one storage slot.
/// @param deadline end of the present phase (half-open), 0 where the phase has none
struct JobState {
    JobPhase phase;
    uint16 globalRound;
    uint8 retries;
    uint8 numShards;
    uint8 numReported;
    uint8 numStalled;
    uint40 deadline;
    uint32 collectWindowS;
    Sensitivity sensitivity;
    Tier maxTier;
    uint24 safeguards;
    uint16 minNodes;
    bool hasDenied;
    bool hasBudget;
}

/// @notice What every action on a shard reads; one storage slot, and the running hash beside it.
/// @param jurisdiction index in the registry of places
/// @param leastContributors fewest contributors of any regional round since the last global model
/// @param firstRound regional round with which the present attempt began. A stalled shard that opens again in
/// the same global round (because too few shards reported) goes on counting: `regionalRound + 1` becomes its
/// `firstRound`, it starts from the global model again, and everything else is as in a fresh global round. So a
/// pair (global round, regional round) never opens twice, and "rounds done" is `regionalRound - firstRound + 1`
struct ShardState {
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
}

/// @notice Membership of a node in a job; one storage slot. Rounds count from 0; `hasCommitted` says
/// whether the last-round fields mean anything. `dataset` is that of which the job's budget is reserved, 0 for none.
struct Member {
    bool joined;
    bool hasCommitted;
    uint8 shard;
    uint16 lastGlobalRound;
    uint16 lastRegionalRound;
    uint64 dataset;
}

/// @title Training jobs: membership, rounds, commitments, committee votes, exports
/// @notice Every window is half-open: an act counts while `block.timestamp < deadline`, and from the
/// deadline on anyone may `advance`. Rounds count from 0.
/// @dev Running hashes. A regional round starts from
/// `keccak256(abi.encode(chainid, this, job, shard, globalRound, regionalRound))` and each commit sets
/// `h = keccak256(abi.encode(h, node, digest))`. A global round starts from
/// `keccak256(abi.encode(chainid, this, job, globalRound))` and each report sets
/// `h = keccak256(abi.encode(h, shard, model, payload))`.
/// Outside parties: committee members may vote for anything and more than once for different proposals
/// (a vote says "I derived this"); only equal proposals add up. Members may commit any digest.
interface ITrainingJobs {
    event JobCreated(uint256 indexed job, address indexed owner, JobParameters parameters, Committee globalCommittee);
    event ShardCreated(uint256 indexed job, uint8 indexed shard, ShardParameters parameters);
    /// @notice The member reserved the job's whole budget of this dataset; 0 in a job without a budget.
    event MemberJoined(uint256 indexed job, uint8 indexed shard, address indexed node, uint64 dataset);
    event MemberLeft(uint256 indexed job, uint8 indexed shard, address indexed node);
    event JobPhaseChanged(uint256 indexed job, JobPhase phase, uint16 globalRound, uint8 retries, uint40 deadline);
    event ShardPhaseChanged(
        uint256 indexed job,
        uint8 indexed shard,
        ShardPhase phase,
        StallReason stall,
        uint16 globalRound,
        uint16 regionalRound,
        uint8 retries,
        uint40 deadline
    );
    event UpdateCommitted(
        uint256 indexed job,
        uint8 indexed shard,
        address indexed node,
        uint16 globalRound,
        uint16 regionalRound,
        bytes32 digest
    );
    /// @notice A vote; the whole proposal travels with each, so that any vote can be replayed alone.
    event RegionalVote(
        uint256 indexed job,
        uint8 indexed shard,
        address indexed voter,
        bytes32 proposalId,
        RegionalProposal proposal
    );
    event RegionalModelAccepted(
        uint256 indexed job,
        uint8 indexed shard,
        uint16 globalRound,
        uint16 regionalRound,
        bytes32 model,
        bytes32 payload,
        uint16 contributors,
        uint64 lossMicros
    );
    /// @notice The export ledger: a regional model crossed from its region to the border store.
    event ModelExported(
        uint256 indexed job,
        uint8 indexed shard,
        address indexed exporter,
        uint16 globalRound,
        bytes8 jurisdiction,
        uint16 contributors,
        bytes32 model,
        bytes32 payload
    );
    event GlobalVote(uint256 indexed job, address indexed voter, bytes32 proposalId, GlobalProposal proposal);
    event GlobalModelAccepted(
        uint256 indexed job,
        uint16 globalRound,
        bytes32 model,
        bytes32 payload,
        uint8 shards,
        bytes32 reports
    );

    /// @notice A parameter of a new job makes no sense; `parameter` is its name.
    error InvalidParameter(bytes32 parameter);
    error UnknownJob(uint256 job);
    error UnknownShard(uint256 job, uint8 shard);
    error WrongJobPhase(uint256 job, JobPhase phase);
    error WrongShardPhase(uint256 job, uint8 shard, ShardPhase phase);
    error WrongRound(uint16 globalRound, uint16 regionalRound);
    error WindowClosed(uint40 deadline, uint256 nowS);
    error WindowStillOpen(uint40 deadline, uint256 nowS);
    /// @notice The gate refused, for this reason.
    error NotEligible(address account, Refusal reason);
    error NotOwner(address account);
    error NotMember(address account);
    error NotCommitteeMember(address account);
    error AlreadyMember(address account);
    error AlreadyCommitted(address account);
    error AlreadyVoted(address account, bytes32 proposalId);
    error ShardFull(uint8 shard);
    error ZeroDigest();
    error WrongCommitments(bytes32 expected, bytes32 given);
    error WrongReports(bytes32 expected, bytes32 given);
    /// @notice An excluded account did not commit in this round, comes twice or out of order, or has no reason.
    error InvalidExclusion(address node);
    error InvalidShardExclusion(uint8 shard);
    error TooFewContributors(uint256 required, uint256 given);
    error TooFewShards(uint256 required, uint256 given);
    /// @notice A loss of fewer than `minContributors` nodes was given, or none although there are enough.
    error LossNotPublishable(uint64 lossMicros, uint256 contributors);
    error NothingToAdvance(uint256 job);
    /// @notice The job states a budget, and the member named no dataset to reserve it of.
    error DatasetRequired(uint256 job);
    /// @notice The job states no budget, so that it could spend any amount of a dataset.
    error NoBudget(uint256 job);

    /// @notice Creates a job owned by the sender, open for joining for `joinWindowS`.
    function createJob(
        JobParameters calldata parameters,
        ShardParameters[] calldata shards,
        Committee calldata globalCommittee
    ) external returns (uint256 job);

    /// @notice Joins a shard while the job is `Joining`. Asks the gate, and reserves the job's whole budget.
    /// @param dataset what the sender will train on; 0 in a job without a budget
    function join(uint256 job, uint8 shard, uint64 dataset) external;

    /// @notice Leaves a job; not between committing and the end of the collecting phase. Before the job starts, this
    /// returns the whole reservation.
    function leave(uint256 job) external;

    /// @notice Starts the first global round before the join window ends. Owner only.
    function start(uint256 job) external;

    /// @notice Ends a job that is not final. Owner only.
    function cancel(uint256 job) external;

    /// @notice Commits the digest of a sealed update for the given round. Asks the gate. When all members have
    /// committed (and they are at least `minNodes`), the shard goes on at once; also when the last one that had not
    /// leaves.
    function commit(uint256 job, uint16 globalRound, uint16 regionalRound, bytes32 digest) external;

    /// @notice Votes for a regional model; with the quorum it is accepted. Asks the gate.
    function voteRegional(uint256 job, uint8 shard, RegionalProposal calldata proposal) external;

    /// @notice Enters the export of a mature regional model into the ledger. Committee members only; asks the gate.
    /// @param payload digest of the sealed model in the border store
    function reportExport(uint256 job, uint8 shard, uint16 globalRound, bytes32 payload) external;

    /// @notice Votes for a global model; with the quorum it is accepted. Asks the gate (any listed place).
    function voteGlobal(uint256 job, GlobalProposal calldata proposal) external;

    /// @notice Ends a phase of the job whose deadline has passed. Anyone.
    function advance(uint256 job) external;

    /// @notice Ends a phase of a shard whose deadline has passed. Anyone.
    function advanceShard(uint256 job, uint8 shard) external;

    /// @notice Where places, participants, attestations and clearance are kept: the gate.
    function NODES() external view returns (INodeRegistry);

    function numJobs() external view returns (uint256);

    function ownerOf(uint256 job) external view returns (address);

    function jobState(uint256 job) external view returns (JobState memory);

    function parametersOf(uint256 job) external view returns (JobParameters memory);

    function shardState(uint256 job, uint8 shard) external view returns (ShardState memory);

    /// @notice State of a job and all its shards in one call.
    function snapshot(uint256 job) external view returns (JobState memory state, ShardState[] memory shards);

    /// @notice Running hash of the round in progress.
    function commitmentsOf(uint256 job, uint8 shard) external view returns (bytes32);

    function reportsOf(uint256 job) external view returns (bytes32);

    /// @notice sha-256 of the last model that a shard's committee accepted.
    function regionalModelOf(uint256 job, uint8 shard) external view returns (bytes32);

    /// @notice sha-256 of the last global model.
    function globalModelOf(uint256 job) external view returns (bytes32);

    function memberOf(uint256 job, address node) external view returns (Member memory);

    /// @notice What the gate demands of members (and committee members) of a shard.
    function requirementOf(uint256 job, uint8 shard) external view returns (Requirement memory);

    /// @notice What the gate demands of members of the global committee.
    function globalRequirementOf(uint256 job) external view returns (Requirement memory);

    function committeeOf(uint256 job, uint8 shard) external view returns (Committee memory);

    function globalCommitteeOf(uint256 job) external view returns (Committee memory);

    function proposalVotes(bytes32 proposalId) external view returns (uint32 voters);
}
