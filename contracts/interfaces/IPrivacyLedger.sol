// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {JobPhase} from "./ITrainingJobs.sol";

/// @notice (epsilon, delta) in whole numbers: millionths, and units of 1e-18.
struct Budget {
    uint64 epsilonMicros;
    uint64 deltaAttos;
}

/// @notice What is known of a dataset.
/// @param holder the node that may train on it, for ever: a dataset that moves is registered anew
/// @param granted what its owner allows over all jobs, ever
/// @param reserved what jobs have spent or may still spend of it
/// @param validUntil end of the period in which jobs may reserve (half-open); 0 where nothing was ever granted
struct Dataset {
    address owner;
    address holder;
    Budget granted;
    Budget reserved;
    uint40 validUntil;
}

/// @title Privacy budgets of datasets
/// @notice A member of a job that states a budget reserves all of it when it joins. Budgets of several jobs add up:
/// basic composition, which holds whatever the jobs do.
/// @dev Outside parties: that two registered datasets are not the same rows is their owners' statement, and so is what a
/// member says that it spent, within the bounds of `returnBudget`. What is spent after part of a job's rounds does not
/// follow from the budget of all of them (of composed mechanisms the first rounds cost most), so no contract derives it.
interface IPrivacyLedger {
    event DatasetRegistered(uint64 indexed dataset, address indexed owner, address indexed holder, bytes32 commitment);
    event BudgetGranted(uint64 indexed dataset, uint48 epsilonMicros, uint56 deltaAttos, uint40 validUntil);
    /// @notice What a member reserved and did not spend is free again; MemberJoined tells of each reservation.
    event BudgetReturned(
        uint64 indexed dataset,
        uint256 indexed job,
        address indexed node,
        uint64 epsilonMicros,
        uint64 deltaAttos
    );

    error NotJobs(address account);
    error UnknownDataset(uint64 dataset);
    error DatasetAlreadyRegistered(uint64 dataset);
    error ZeroCommitment();
    error ZeroHolder();
    error NotDatasetOwner(uint64 dataset, address account);
    error NotHolder(uint64 dataset, address account);
    /// @notice Nothing was granted yet, or the period is over.
    error GrantOver(uint64 dataset, uint40 validUntil);
    /// @notice The job's budget is above what is left of the grant.
    error BudgetExceeded(uint64 dataset, uint64 remainingEpsilonMicros, uint64 remainingDeltaAttos);
    /// @notice Nothing was reserved, or the reservation ended.
    error NothingReserved(uint256 job, address node);
    /// @notice The node is a member of a job that is not over.
    error ReservationInUse(uint256 job, address node, JobPhase phase);
    /// @notice What was spent is said to be more than was reserved, or less than the share of the rounds that ran.
    error InvalidSpending(uint64 leastEpsilonMicros, uint64 leastDeltaAttos);

    /// @notice Registers a dataset of the sender's.
    /// @param commitment salted digest, of which the owner keeps the preimage
    function registerDataset(bytes32 commitment, address holder) external returns (uint64 dataset);

    /// @notice Says how much all jobs together may spend, ever, and until when they may reserve; replaces what was
    /// said before. Reservations stay, also above a smaller grant. Owner only.
    function grantBudget(uint64 dataset, uint48 epsilonMicros, uint56 deltaAttos, uint40 validUntil) external;

    /// @notice Reserves for a job what it may spend at most. TrainingJobs only.
    function reserve(uint64 dataset, address holder, uint64 epsilonMicros, uint64 deltaAttos) external;

    /// @notice Frees part of what a holder reserved for a job; it MUST NOT be more. TrainingJobs only.
    function giveBack(uint64 dataset, uint256 job, address holder, uint64 epsilonMicros, uint64 deltaAttos) external;

    /// @notice Ends a reservation once the job is over or the member left, and frees what was not spent. The member or
    /// the dataset's owner only.
    /// @param epsilonMicros what the member spent by its own accountant, at least the share of the rounds up to its last
    /// commit, rounded up
    function returnBudget(uint256 job, address node, uint64 epsilonMicros, uint64 deltaAttos) external;

    /// @notice Whether a member's reservation ended by `returnBudget`.
    function hasReturned(uint256 job, address node) external view returns (bool);

    function numDatasets() external view returns (uint64);

    /// @notice Number of the dataset with a commitment, 0 for none.
    function datasetOf(bytes32 commitment) external view returns (uint64);

    function datasetAt(uint64 dataset) external view returns (Dataset memory);
}
