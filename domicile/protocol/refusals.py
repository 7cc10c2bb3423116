"""Why a contract refuses: one class an ABI error, with the error's arguments as fields.

The pure rules raise them too, so that twin and contract can be compared.
"""

from __future__ import annotations

from domicile.protocol.complaint import ContractRefusal
from domicile.protocol.eligibility import Refusal
from domicile.protocol.jurisdiction import Tier
from domicile.protocol.round import JobPhase, ShardPhase
from domicile.types import Address


class InvalidParameter(ContractRefusal):
    cause = "A parameter of a new job makes no sense."
    mend = "correct this parameter of the job"
    parameter: str


class UnknownJob(ContractRefusal):
    cause = "No job has this number."
    mend = "list the jobs and name one of them"
    job: int


class UnknownShard(ContractRefusal):
    cause = "The job has no such shard."
    mend = "name one of the job's shards"
    job: int
    shard: int


class WrongJobPhase(ContractRefusal):
    cause = "The job is in a phase that has no such act."
    mend = "wait for the phase that has it"
    job: int
    phase: JobPhase


class WrongShardPhase(ContractRefusal):
    cause = "The shard is in a phase that has no such act."
    mend = "wait for the phase that has it"
    job: int
    shard: int
    phase: ShardPhase


class WrongRound(ContractRefusal):
    cause = "The act names another round than the one in progress."
    mend = "look at the job again and act on its present round"
    global_round: int
    regional_round: int


class WindowClosed(ContractRefusal):
    cause = "The window ended before the act."
    mend = "wait for the next window"
    deadline_s: int
    now_s: int


class WindowStillOpen(ContractRefusal):
    cause = "The window has not ended yet."
    mend = "wait for the deadline"
    deadline_s: int
    now_s: int


class NotEligible(ContractRefusal):
    cause = "The gate refused the account, for the reason named."
    mend = "mend what the reason names (attestation, clearance, place, safeguards), then try again"
    account: Address
    reason: Refusal


class NotOwner(ContractRefusal):
    cause = "Only the job's owner may do this."
    mend = "ask the job's owner"
    account: Address


class NotMember(ContractRefusal):
    cause = "The account is no member of the job."
    mend = "join the job first"
    account: Address


class NotCommitteeMember(ContractRefusal):
    cause = "The account is in no committee that may do this."
    mend = "ask a member of the committee"
    account: Address


class AlreadyMember(ContractRefusal):
    cause = "The account is a member already."
    mend = "nothing is left to do"
    account: Address


class AlreadyCommitted(ContractRefusal):
    cause = "The account has committed in this round."
    mend = "wait for the next round"
    account: Address


class AlreadyVoted(ContractRefusal):
    cause = "The account has voted for this proposal."
    mend = "nothing is left to do"
    account: Address
    proposal_id: bytes


class ShardFull(ContractRefusal):
    cause = "The shard has as many members as it can hold."
    mend = "join another job"
    shard: int


class ZeroDigest(ContractRefusal):
    cause = "A digest is zero."
    mend = "give the digest of a payload"


class WrongCommitments(ContractRefusal):
    cause = "The proposal is not about the set that was committed."
    mend = "merge the committed set anew"
    expected: bytes
    given: bytes


class WrongReports(ContractRefusal):
    cause = "The proposal is not about the set that was exported."
    mend = "merge the exported set anew"
    expected: bytes
    given: bytes


class InvalidExclusion(ContractRefusal):
    cause = "The excluded account did not commit, comes twice or out of order, or has no reason."
    mend = "correct the list of exclusions"
    node: Address


class InvalidShardExclusion(ContractRefusal):
    cause = "The excluded shard did not report, comes twice or out of order, or has no reason."
    mend = "correct the list of exclusions"
    shard: int


class TooFewContributors(ContractRefusal):
    cause = "Too few usable updates."
    mend = "wait for more updates"
    required: int
    given: int


class TooFewShards(ContractRefusal):
    cause = "Too few shards have enough members (or usable exports)."
    mend = "wait for more members, or lower min_shards in a new job"
    required: int
    given: int


class LossNotPublishable(ContractRefusal):
    cause = "A loss of too few nodes was given, or none although there are enough."
    mend = "publish a loss exactly when there are min_contributors"
    loss_micros: int
    contributors: int


class NothingToAdvance(ContractRefusal):
    cause = "The job is over."
    mend = "nothing is left to do"
    job: int


class DatasetRequired(ContractRefusal):
    cause = "The job reserves a privacy budget, and no dataset was named to reserve it of."
    mend = "have the dataset's owner register it and grant a budget (`domicile dataset register`), and name its number"
    job: int


class NoBudget(ContractRefusal):
    cause = "The job states no privacy budget, so that it could spend any amount of the dataset."
    mend = "join with data that has no budget, or ask the job's owner for a job with differential privacy"
    job: int


class NotJobs(ContractRefusal):
    cause = "Only TrainingJobs reserves and gives back."
    mend = "join a job with the dataset's number instead"
    account: Address


class UnknownDataset(ContractRefusal):
    cause = "No dataset has this number."
    mend = "register it first, or correct the number"
    dataset: int


class DatasetAlreadyRegistered(ContractRefusal):
    cause = "A dataset with this commitment is registered already."
    mend = "use its number, or register other data with a salt of its own"
    dataset: int


class ZeroCommitment(ContractRefusal):
    cause = "The commitment is zero."
    mend = "give the salted digest of the dataset"


class ZeroHolder(ContractRefusal):
    cause = "The dataset has no holder."
    mend = "name the account of the node that holds the data"


class NotDatasetOwner(ContractRefusal):
    cause = "Only the dataset's owner may do this (of what was spent, its node speaks too)."
    mend = "ask the dataset's owner"
    dataset: int
    account: Address


class NotHolder(ContractRefusal):
    cause = "The dataset was registered for another node."
    mend = "name a dataset of this node"
    dataset: int
    account: Address


class GrantOver(ContractRefusal):
    cause = "The dataset's owner granted nothing yet, or the period of the grant is over."
    mend = "ask the dataset's owner for a grant"
    dataset: int
    valid_until_s: int


class BudgetExceeded(ContractRefusal):
    cause = "The job's privacy budget is above what is left of the dataset's grant."
    mend = "join a job with a smaller budget, or ask the dataset's owner for a larger grant"
    dataset: int
    remaining_epsilon_micros: int
    remaining_delta_attos: int


class NothingReserved(ContractRefusal):
    cause = "The account reserved nothing for the job, or its reservation ended."
    mend = "nothing is left to do"
    job: int
    node: Address


class ReservationInUse(ContractRefusal):
    cause = "The node is a member of a job that is not over."
    mend = "wait for the job's end, or leave it first"
    job: int
    node: Address
    phase: JobPhase


class InvalidSpending(ContractRefusal):
    cause = "More is said to be spent than was reserved, or less than the rounds that the node committed in."
    mend = "state what the node's accountant says, and at least these figures"
    least_epsilon_micros: int
    least_delta_attos: int


class NothingMasked(ContractRefusal):
    cause = "The job does not demand secure aggregation, so that nothing is masked."
    mend = "merge its updates as they are"
    job: int


class SurvivorsAlreadyAgreed(ContractRefusal):
    cause = "The survivors of the round are agreed on, for ever."
    mend = "go on with the agreed set"
    global_round: int
    regional_round: int


class SurvivorsNotAgreed(ContractRefusal):
    cause = "The shard's committee has not agreed on the survivors of the round."
    mend = "wait for its quorum"
    global_round: int
    regional_round: int


class AlreadyUnmasked(ContractRefusal):
    cause = "The node has answered to the survivors of this round."
    mend = "nothing is left to do; an answer is given once"
    node: Address


class InvalidJurisdictionCode(ContractRefusal):
    cause = "The code is empty or holds other bytes than A-Z, 0-9 and -."
    mend = "write an ISO 3166 code or a bloc's name"
    code: str


class JurisdictionAlreadyListed(ContractRefusal):
    cause = "The jurisdiction is listed already."
    mend = "nothing is left to do"
    code: str


class UnknownJurisdiction(ContractRefusal):
    cause = "The jurisdiction is not listed."
    mend = "list it first"
    code: str


class JurisdictionsFull(ContractRefusal):
    cause = "255 jurisdictions are listed; there is room for no more."
    mend = "deploy another network"


class InvalidTier(ContractRefusal):
    cause = "This tier cannot be given."
    mend = "name open, conditional, high_risk or prohibited"
    tier: Tier


class NotTighter(ContractRefusal):
    cause = "The tier is not stricter than the present one."
    mend = "use loosen for that, or name a stricter tier"
    code: str
    current: Tier
    requested: Tier


class NotLooser(ContractRefusal):
    cause = "The tier is not less strict than the present one."
    mend = "use tighten for that, or name a looser tier"
    code: str
    current: Tier
    requested: Tier


class NotGuardian(ContractRefusal):
    cause = "Only a guardian may tighten a tier."
    mend = "ask a guardian, or have governance appoint one first (`domicile jurisdiction guardian`)"
    account: Address


class AlreadyRegistered(ContractRefusal):
    cause = "The account is registered already."
    mend = "nothing is left to do"
    node: Address


class UnknownNode(ContractRefusal):
    cause = "The account is not registered."
    mend = "register it first"
    node: Address


class ZeroKeyCard(ContractRefusal):
    cause = "The key card's digest is zero."
    mend = "publish a key card and give its digest"


class AttesterAlreadyAdded(ContractRefusal):
    cause = "The account is an attester already."
    mend = "nothing is left to do"
    attester: Address


class UnknownAttester(ContractRefusal):
    cause = "The account is no attester."
    mend = "add it first"
    attester: Address


class AttestersFull(ContractRefusal):
    cause = "64 attesters were added; there is room for no more."
    mend = "deploy another network"


class EmptyScope(ContractRefusal):
    cause = "An attester needs at least one jurisdiction."
    mend = "name one"


class QuorumNotSet(ContractRefusal):
    cause = "No quorum is set for the jurisdiction or above it."
    mend = "set a quorum first"
    jurisdiction: str


class InvalidQuorum(ContractRefusal):
    cause = "A quorum is 1 to 64."
    mend = "correct it"
    quorum: int


class NotHigher(ContractRefusal):
    cause = "The quorum is not above the one that holds now."
    mend = "schedule set_quorum for that, or name a greater quorum"
    jurisdiction: str
    current: int
    requested: int


class WrongNonce(ContractRefusal):
    cause = "The attestation was made for another state of the node."
    mend = "have it signed anew with the expected nonce"
    node: Address
    expected: int
    given: int


class OutsideValidity(ContractRefusal):
    cause = "The bounds are over, not yet reached, or in the wrong order."
    mend = "correct the bounds and have it signed anew"
    valid_from_s: int
    valid_until_s: int
    now_s: int


class TooFewSignatures(ContractRefusal):
    cause = "The quorum of attesters is not reached."
    mend = "collect more signatures"
    required: int
    given: int


class SignersNotAscending(ContractRefusal):
    cause = "Signatures must come in ascending order of the signers' addresses, each once."
    mend = "sort them"
    previous: Address
    signer: Address


class NotAttesterFor(ContractRefusal):
    cause = "The signer is no attester for the place, or no longer one."
    mend = "have an attester of that place sign"
    signer: Address
    jurisdiction: str


class NotAttested(ContractRefusal):
    cause = "The account has no attestation to revoke."
    mend = "nothing is left to do"
    node: Address


class AlreadySuspended(ContractRefusal):
    cause = "The account is suspended already."
    mend = "nothing is left to do"
    node: Address


class NotSuspended(ContractRefusal):
    cause = "The account is not suspended."
    mend = "nothing is left to do"
    node: Address


class AccessManagedInvalidAuthority(ContractRefusal):
    cause = "The new authority is no contract."
    mend = "name an AccessManager"
    authority: Address


class AccessManagedRequiredDelay(ContractRefusal):
    cause = "Governance must schedule this and wait."
    mend = "schedule it, then execute it after the delay"
    caller: Address
    delay: int


class AccessManagedUnauthorized(ContractRefusal):
    cause = "The account has not the role that this needs."
    mend = "ask governance for the role"
    caller: Address


class AccessManagerAlreadyScheduled(ContractRefusal):
    cause = "The operation is scheduled already."
    mend = "wait for its delay, then execute it"
    operation_id: bytes


class AccessManagerBadConfirmation(ContractRefusal):
    cause = "A role can only be renounced by its holder."
    mend = "confirm with your own account"


class AccessManagerExpired(ContractRefusal):
    cause = "The scheduled operation was not executed in time."
    mend = "schedule it anew"
    operation_id: bytes


class AccessManagerInvalidInitialAdmin(ContractRefusal):
    cause = "The first administrator is no account."
    mend = "name an account"
    initial_admin: Address


class AccessManagerLockedFunction(ContractRefusal):
    cause = "The function cannot be given to a role."
    mend = "name another function"
    selector: bytes


class AccessManagerLockedRole(ContractRefusal):
    cause = "The role cannot be changed."
    mend = "name another role"
    role_id: int


class AccessManagerNotReady(ContractRefusal):
    cause = "The delay of the scheduled operation is not over."
    mend = "wait for it"
    operation_id: bytes


class AccessManagerNotScheduled(ContractRefusal):
    cause = "The operation was not scheduled."
    mend = "schedule it first"
    operation_id: bytes


class AccessManagerUnauthorizedAccount(ContractRefusal):
    cause = "The account has not the role that this needs."
    mend = "ask governance for the role"
    msgsender: Address
    role_id: int


class AccessManagerUnauthorizedCall(ContractRefusal):
    cause = "The account may not call this function."
    mend = "ask governance for the role"
    caller: Address
    target: Address
    selector: bytes


class AccessManagerUnauthorizedCancel(ContractRefusal):
    cause = "The account may not cancel this operation."
    mend = "ask its scheduler or a guardian"
    msgsender: Address
    caller: Address
    target: Address
    selector: bytes


class AccessManagerUnauthorizedConsume(ContractRefusal):
    cause = "The contract may not consume this operation."
    mend = "let the managed contract call"
    target: Address


class AddressEmptyCode(ContractRefusal):
    cause = "There is no contract at the address."
    mend = "check the deployment file"
    target: Address


class ECDSAInvalidSignature(ContractRefusal):
    cause = "A signature is not one of any account."
    mend = "have it signed anew"


class ECDSAInvalidSignatureLength(ContractRefusal):
    cause = "A signature has not 65 bytes."
    mend = "have it signed anew"
    length: int


class ECDSAInvalidSignatureS(ContractRefusal):
    cause = "A signature is in the malleable form."
    mend = "have it signed anew"
    s: bytes


class FailedCall(ContractRefusal):
    cause = "A call to another contract failed."
    mend = "look at the call that was scheduled"


class InsufficientBalance(ContractRefusal):
    cause = "The contract holds less than is to be sent."
    mend = "send it what is missing"
    balance: int
    needed: int


class SafeCastOverflowedUintDowncast(ContractRefusal):
    cause = "A number is too large."
    mend = "give a smaller one"
    bits: int
    value: int
