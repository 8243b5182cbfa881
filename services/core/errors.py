"""The one error tree of the service.

ServiceError                      every error that a caller may see
├── InvalidInput                  the request is wrong; says which fields
│   └── InvalidTable              the uploaded file is wrong; says the row and column
├── NotFound                      no such dataset, job or task for this owner
├── Conflict                      the id is taken by a different body
├── FailedPrecondition            right request, wrong state
├── LimitExceeded                 a bound of size, number or rate
├── Unauthenticated               no valid token
├── PermissionDenied              a valid token that may not do this
├── DataLoss                      stored bytes are not what was stored
└── Unavailable                   what we need does not answer; worth a retry
    ├── HomeInUse                 another process uses the home folder
    ├── StoreUnavailable
    ├── QueueUnavailable
    └── ObjectsUnavailable

A driver's exception never crosses a port: backends translate it into one of these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

__all__ = [
    "Conflict",
    "DataLoss",
    "FailedPrecondition",
    "FieldViolation",
    "HomeInUse",
    "InvalidInput",
    "InvalidTable",
    "LimitExceeded",
    "NotFound",
    "ObjectsUnavailable",
    "PermissionDenied",
    "QueueUnavailable",
    "ServiceError",
    "StoreUnavailable",
    "Unauthenticated",
    "Unavailable",
]


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field of a request that is wrong, and the sentence that says why.

    Attributes:
        field: where it is in the request, e.g. `spec.columns[2]`.
        description: the sentence.
        reason: the identifier of this one, e.g. `UNKNOWN_COLUMN`; "" where there is none of its own.
    """

    field: str
    description: str
    reason: str = ""


@dataclass(eq=False)
class ServiceError(Exception):
    """An error with a sentence for people and an UPPER_SNAKE reason for programs.

    Attributes:
        message: what was wrong, where, and what to do; one or two sentences.
        reason: stable identifier, e.g. `JOB_NOT_FOUND`; the class default when not given.
        metadata: facts a program may want, e.g. `{"job": "jobs/abc"}`; never a secret.
    """

    default_reason: ClassVar[str] = "INTERNAL"
    retryable: ClassVar[bool] = False

    message: str
    reason: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Fill in the class's reason and make `str(error)` the message."""
        self.reason = self.reason or self.default_reason
        super().__init__(self.message)

    def __str__(self) -> str:
        """Return the sentence alone."""
        return self.message


@dataclass(eq=False)
class InvalidInput(ServiceError):
    """The request cannot be carried out as written."""

    default_reason: ClassVar[str] = "INVALID_INPUT"

    violations: Sequence[FieldViolation] = ()


@dataclass(eq=False)
class InvalidTable(InvalidInput):
    """The uploaded bytes are not a table that can be read."""

    default_reason: ClassVar[str] = "INVALID_TABLE"


@dataclass(eq=False)
class NotFound(ServiceError):
    """The named resource does not exist, or belongs to somebody else."""

    default_reason: ClassVar[str] = "NOT_FOUND"


@dataclass(eq=False)
class Conflict(ServiceError):
    """The id in the request was used before with a different body."""

    default_reason: ClassVar[str] = "REQUEST_ID_REUSED"


@dataclass(eq=False)
class FailedPrecondition(ServiceError):
    """The resource is not in a state that allows the request."""

    default_reason: ClassVar[str] = "FAILED_PRECONDITION"


@dataclass(eq=False)
class LimitExceeded(ServiceError):
    """A bound on size, number or rate would be passed.

    Attributes:
        subject: whose bound it is, `owner:NAME`, or "" when it is everybody's.
        retry_seconds: after which time the same may fit; 0 when waiting does not help.
    """

    default_reason: ClassVar[str] = "LIMIT_EXCEEDED"

    subject: str = ""
    retry_seconds: int = 0


@dataclass(eq=False)
class Unauthenticated(ServiceError):
    """No token, or one that is not known."""

    default_reason: ClassVar[str] = "UNAUTHENTICATED"


@dataclass(eq=False)
class PermissionDenied(ServiceError):
    """The caller is known and may not do this."""

    default_reason: ClassVar[str] = "PERMISSION_DENIED"


@dataclass(eq=False)
class DataLoss(ServiceError):
    """Stored bytes are missing or damaged."""

    default_reason: ClassVar[str] = "DATA_LOSS"


@dataclass(eq=False)
class Unavailable(ServiceError):
    """A server behind the service does not answer; the same call may work later."""

    default_reason: ClassVar[str] = "UNAVAILABLE"
    retryable: ClassVar[bool] = True


@dataclass(eq=False)
class HomeInUse(Unavailable):
    """Another process uses the home folder of the embedded service."""

    default_reason: ClassVar[str] = "HOME_IN_USE"


@dataclass(eq=False)
class StoreUnavailable(Unavailable):
    """The job store does not answer."""

    default_reason: ClassVar[str] = "STORE_UNAVAILABLE"


@dataclass(eq=False)
class QueueUnavailable(Unavailable):
    """The task queue does not answer or did not confirm."""

    default_reason: ClassVar[str] = "QUEUE_UNAVAILABLE"


@dataclass(eq=False)
class ObjectsUnavailable(Unavailable):
    """The object store does not answer."""

    default_reason: ClassVar[str] = "OBJECTS_UNAVAILABLE"
