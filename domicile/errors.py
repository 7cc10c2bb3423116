"""The error tree, branching by who can act.

::

    DomicileError
    ├── ConfigurationError      the operator: a file, key or argument is wrong          exit 2
    ├── Refused                 the contract refused; `reason` names why                exit 3
    │   ├── Overtaken           a phase that is over was ended by another party first
    │   └── one class an ABI error, in domicile.chain.errors
    ├── PeerError               another party sent something that does not hold         exit 4
    │   ├── SealError           a sealed payload cannot be opened here, `reason` says why
    │   ├── UpdateError         an update is malformed, not finite or too large
    │   ├── PayloadTooLong      a payload is longer than any of its kind, and is not read
    │   ├── BudgetMismatch      a job's documents promise another privacy than it reserves on chain
    │   ├── SecureSumError      a message of the secure sum is malformed, or the sum does not come out
    │   │   └── UnmaskingRefused    this node does not answer for these survivors, `reason` says why
    │   └── LineageError        the record on chain or in a store does not add up
    ├── Fault                   an outside system failed; trying again may help         exit 5
    │   ├── ChainFault
    │   │   └── Rejected        the endpoint understood, and will answer the same again
    │   │       └── Unfunded    the account cannot pay: the operator sends it ether   exit 2
    │   ├── DiskFault           the disk of journal and outbox is full, or fails
    │   └── StoreFault
    │       ├── BlockMissing    nobody has the block
    │       └── BlockCorrupt    somebody answered with other bytes
    └── Interrupted             asked to stop                                           exit 130

Anything else that escapes is our bug: exit 70, with a traceback.
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar


class DomicileError(Exception):
    """Base of all errors that a user may see; the message names the cause and the mend."""

    exit_code: ClassVar[int] = 70


class ConfigurationError(DomicileError):
    """A file, key or argument is wrong; nothing was started."""

    exit_code = 2


class Refused(DomicileError):
    """A contract refused an action; subclasses carry the arguments of the ABI error."""

    exit_code = 3


class Overtaken(Refused):
    """A phase that is over, which anyone may end, was ended by another party first: nothing is left to do."""


class PeerError(DomicileError):
    """Another party sent something that does not hold."""

    exit_code = 4


class SealFault(Enum):
    """Why a sealed payload cannot be opened here."""

    NOT_A_PAYLOAD = "not a payload"
    UNKNOWN_VERSION = "unknown version"
    TOO_LARGE = "too large"
    WRONG_CONTEXT = "wrong context"
    NOT_A_RECIPIENT = "not a recipient"
    ALTERED = "altered"
    TRUNCATED = "truncated"
    EXTENDED = "extended"


class SealError(PeerError):
    """A sealed payload cannot be opened here."""

    def __init__(self, reason: SealFault, message: str) -> None:
        super().__init__(f"{message}; the payload is left out, its sender must seal anew")
        self.reason = reason


class UpdateError(PeerError):
    """An update is malformed, not finite or too large."""


class PayloadTooLong(PeerError):
    """A payload is longer than any of its kind: whoever committed it wants others to fetch without end."""


class BudgetMismatch(PeerError):
    """A job's documents promise another privacy than it reserves on chain."""


class SecureSumError(PeerError):
    """A message of the secure sum is malformed, or the sum does not come out."""


class UnmaskingRefusal(Enum):
    """Why a node does not answer for a set of survivors."""

    OTHER_ROUND = "another round"
    OTHER_COMMITS = "other commits"
    OTHER_SET = "another set"
    NOT_A_MEMBER = "not a member"
    NOT_A_SURVIVOR = "not a survivor"
    TOO_FEW_SURVIVORS = "too few survivors"
    BELOW_THRESHOLD = "below the threshold"


class UnmaskingRefused(SecureSumError):
    """This node does not answer for these survivors: an answer could tell more than their sum."""

    def __init__(self, reason: UnmaskingRefusal, message: str) -> None:
        super().__init__(f"{message}; nothing is revealed")
        self.reason = reason


class LineageError(PeerError):
    """The record on chain or in a store does not add up."""


class Fault(DomicileError):
    """An outside system failed; trying again may help."""

    exit_code = 5


class ChainFault(Fault):
    """The endpoint cannot be reached, answered with an error, or is another chain."""


class Rejected(ChainFault):
    """The endpoint answered a request with an error of its own that is not for the moment."""


class Unfunded(Rejected):
    """The account has too little ether for an act. A daemon waits for some; a command leaves it to its operator."""

    exit_code = 2


class DiskFault(Fault):
    """The disk that holds this party's journal and outbox is full, or fails."""


class StoreFault(Fault):
    """A store cannot be reached or failed."""


class BlockMissing(StoreFault):
    """A block of a payload is not in the store."""


class BlockCorrupt(StoreFault):
    """A store answered with other bytes than were asked for."""


class Interrupted(DomicileError):
    """A signal asked the process to stop."""

    exit_code = 130
