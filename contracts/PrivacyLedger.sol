// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {Budget, Dataset, IPrivacyLedger} from "./interfaces/IPrivacyLedger.sol";
import {ITrainingJobs, JobParameters, JobPhase, Member} from "./interfaces/ITrainingJobs.sol";

/// @title PrivacyLedger
/// @dev TrainingJobs creates it, which settles whom it trusts, and keeps in each member's seat of which dataset it reserved.
contract PrivacyLedger is IPrivacyLedger {
    /// @notice Reserves and returns.
    ITrainingJobs public immutable JOBS;

    struct Title {
        address owner;
        address holder;
    }

    struct Grant {
        uint48 grantedEpsilonMicros;
        uint48 reservedEpsilonMicros;
        uint56 grantedDeltaAttos;
        uint56 reservedDeltaAttos;
        uint40 validUntil;
    }

    // Slot map.
    //   0  number of datasets; they count from 1
    //   1  commitment -> dataset
    //   2  dataset -> title: +0 owner, +1 holder
    //   3  holder -> dataset -> grant, one slot: all that joining reads, since nobody but the holder finds one in it
    //   4  job -> node -> whether its reservation ended
    uint64 private _numDatasets;
    mapping(bytes32 commitment => uint64 dataset) private _numbers;
    mapping(uint64 dataset => Title) private _titles;
    mapping(address holder => mapping(uint64 dataset => Grant)) private _grants;
    mapping(uint256 job => mapping(address node => bool)) private _returned;

    modifier onlyJobs() {
        if (msg.sender != address(JOBS)) revert NotJobs(msg.sender);
        _;
    }

    constructor() {
        JOBS = ITrainingJobs(msg.sender);
    }

    /// @inheritdoc IPrivacyLedger
    function registerDataset(bytes32 commitment, address holder) external override returns (uint64 dataset) {
        if (commitment == 0) revert ZeroCommitment();
        if (holder == address(0)) revert ZeroHolder();
        if (_numbers[commitment] != 0) revert DatasetAlreadyRegistered(_numbers[commitment]);

        dataset = ++_numDatasets;
        _numbers[commitment] = dataset;
        _titles[dataset] = Title({owner: msg.sender, holder: holder});

        emit DatasetRegistered(dataset, msg.sender, holder, commitment);
    }

    /// @inheritdoc IPrivacyLedger
    function grantBudget(uint64 dataset, uint48 epsilonMicros, uint56 deltaAttos, uint40 validUntil) external override {
        Title storage title = _titleOf(dataset);
        if (msg.sender != title.owner) revert NotDatasetOwner(dataset, msg.sender);

        Grant storage granted = _grants[title.holder][dataset];
        granted.grantedEpsilonMicros = epsilonMicros;
        granted.grantedDeltaAttos = deltaAttos;
        granted.validUntil = validUntil;

        emit BudgetGranted(dataset, epsilonMicros, deltaAttos, validUntil);
    }

    /// @inheritdoc IPrivacyLedger
    function reserve(
        uint64 dataset,
        address holder,
        uint64 epsilonMicros,
        uint64 deltaAttos
    ) external override onlyJobs {
        Grant memory grant = _grants[holder][dataset];
        if (block.timestamp >= grant.validUntil) {
            if (_titleOf(dataset).holder != holder) revert NotHolder(dataset, holder);
            revert GrantOver(dataset, grant.validUntil);
        }
        uint64 epsilonLeft = _left(grant.grantedEpsilonMicros, grant.reservedEpsilonMicros);
        uint64 deltaLeft = _left(grant.grantedDeltaAttos, grant.reservedDeltaAttos);
        if (epsilonMicros > epsilonLeft || deltaAttos > deltaLeft) {
            revert BudgetExceeded(dataset, epsilonLeft, deltaLeft);
        }

        // Both are at most what is left, and no sum is above its grant.
        grant.reservedEpsilonMicros += uint48(epsilonMicros);
        grant.reservedDeltaAttos += uint56(deltaAttos);
        _grants[holder][dataset] = grant;
    }

    /// @inheritdoc IPrivacyLedger
    function giveBack(
        uint64 dataset,
        uint256 job,
        address holder,
        uint64 epsilonMicros,
        uint64 deltaAttos
    ) external override onlyJobs {
        _giveBack(dataset, job, holder, epsilonMicros, deltaAttos);
    }

    /// @inheritdoc IPrivacyLedger
    function returnBudget(uint256 job, address node, uint64 epsilonMicros, uint64 deltaAttos) external override {
        Member memory member = JOBS.memberOf(job, node);
        uint64 dataset = member.dataset;
        if (dataset == 0 || _returned[job][node]) revert NothingReserved(job, node);
        if (msg.sender != node && msg.sender != _titles[dataset].owner) revert NotDatasetOwner(dataset, msg.sender);
        JobPhase phase = JOBS.jobState(job).phase;
        if (member.joined && phase <= JobPhase.Merging) revert ReservationInUse(job, node, phase);
        JobParameters memory reserved = JOBS.parametersOf(job);
        (uint64 epsilonLeast, uint64 deltaLeast) = _leastSpent(member, reserved);
        bool epsilonHolds = epsilonLeast <= epsilonMicros && epsilonMicros <= reserved.epsilonMicros;
        bool deltaHolds = deltaLeast <= deltaAttos && deltaAttos <= reserved.deltaAttos;
        if (!epsilonHolds || !deltaHolds) revert InvalidSpending(epsilonLeast, deltaLeast);

        _returned[job][node] = true;
        _giveBack(dataset, job, node, reserved.epsilonMicros - epsilonMicros, reserved.deltaAttos - deltaAttos);
    }

    /// @inheritdoc IPrivacyLedger
    function hasReturned(uint256 job, address node) external view override returns (bool) {
        return _returned[job][node];
    }

    /// @inheritdoc IPrivacyLedger
    function numDatasets() external view override returns (uint64) {
        return _numDatasets;
    }

    /// @inheritdoc IPrivacyLedger
    function datasetOf(bytes32 commitment) external view override returns (uint64) {
        return _numbers[commitment];
    }

    /// @inheritdoc IPrivacyLedger
    function datasetAt(uint64 dataset) external view override returns (Dataset memory) {
        Title storage title = _titleOf(dataset);
        Grant memory grant = _grants[title.holder][dataset];
        return
            Dataset({
                owner: title.owner,
                holder: title.holder,
                granted: Budget(grant.grantedEpsilonMicros, grant.grantedDeltaAttos),
                reserved: Budget(grant.reservedEpsilonMicros, grant.reservedDeltaAttos),
                validUntil: grant.validUntil
            });
    }

    function _giveBack(uint64 dataset, uint256 job, address holder, uint64 epsilonMicros, uint64 deltaAttos) private {
        Grant storage grant = _grants[holder][dataset];
        grant.reservedEpsilonMicros -= uint48(epsilonMicros);
        grant.reservedDeltaAttos -= uint56(deltaAttos);

        emit BudgetReturned(dataset, job, holder, epsilonMicros, deltaAttos);
    }

    /// @dev The share of all rounds that a job can ask for, retries included, up to a member's last commit, rounded up. A
    /// shard that opened again counts its regional rounds on.
    function _leastSpent(
        Member memory member,
        JobParameters memory reserved
    ) private pure returns (uint64 epsilonMicros, uint64 deltaAttos) {
        if (!member.hasCommitted) return (0, 0);
        uint256 perGlobalRound = reserved.maxRegionalRounds;
        uint256 all = reserved.globalRounds * perGlobalRound * (1 + uint256(reserved.maxRetries));
        uint256 ran = Math.min(all, member.lastGlobalRound * perGlobalRound + member.lastRegionalRound + 1);
        epsilonMicros = uint64(Math.ceilDiv(reserved.epsilonMicros * ran, all));
        deltaAttos = uint64(Math.ceilDiv(reserved.deltaAttos * ran, all));
    }

    /// @dev A grant may have become smaller than what was reserved before.
    function _left(uint64 granted, uint64 reserved) private pure returns (uint64) {
        return granted > reserved ? granted - reserved : 0;
    }

    function _titleOf(uint64 dataset) private view returns (Title storage title) {
        title = _titles[dataset];
        if (title.owner == address(0)) revert UnknownDataset(dataset);
    }
}
