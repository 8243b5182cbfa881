"""Errors a caller of the service sees.

KMeansError        the service refused or failed, and said why
└── Unreachable    nothing that speaks gRPC answers at the target, or the connection broke
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

__all__ = ["KMeansError", "Unreachable", "Violation", "decode", "translated"]

_STATUS_KEY = "grpc-status-details-bin"
# What gRPC says of calls that this side has ended. Any other CANCELLED is the service's.
_ENDED_HERE = ("Locally cancelled", "Channel closed")


@dataclass(frozen=True, slots=True)
class Violation:
    """One field of a request that is wrong, the sentence that says why, and its reason where it has one."""

    field: str
    description: str
    reason: str = ""


@dataclass(eq=False)
class KMeansError(Exception):
    """An error of the service, decoded from its rich status.

    Attributes:
        code: the gRPC code.
        reason: stable UPPER_SNAKE identifier; the code's name where the service gave none.
        message: a sentence for people.
        violations: which fields of the request are wrong, if that is what it is.
        metadata: facts that belong to the reason.
        retry_after_seconds: how long to wait before the same call may work, or None.
    """

    code: grpc.StatusCode
    reason: str
    message: str
    violations: tuple[Violation, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    retry_after_seconds: float | None = None

    def __post_init__(self) -> None:
        """Make the message what a traceback shows."""
        super().__init__(self.message)

    def __str__(self) -> str:
        """Return the sentence alone."""
        return self.message


@dataclass(eq=False)
class Unreachable(KMeansError):
    """No connection to the service."""


def decode(error: Exception, target: str) -> KMeansError:
    """Read the rich status of a failed call to `target`; never raises."""
    if not isinstance(error, grpc.Call):
        return KMeansError(grpc.StatusCode.UNKNOWN, "UNKNOWN", str(error))
    code = error.code()
    message = error.details() or code.name
    status = _rich_status(error)
    if status is None:
        if code is grpc.StatusCode.UNAVAILABLE:
            return Unreachable(code, "UNREACHABLE", f"No K-Means Service answers at {target} ({message}).")
        if code is grpc.StatusCode.CANCELLED and not any(each in message for each in _ENDED_HERE):
            # gRPC drops without a word what reaches a server in the moment in which it stops.
            return Unreachable(code, "UNREACHABLE", f"The service at {target} ended the call unanswered.")
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            message = f"The service at {target} did not answer within the time allowed."
        return KMeansError(code, code.name, message)
    reason, metadata = code.name, dict[str, str]()
    violations: list[Violation] = []
    retry_after_seconds: float | None = None
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        bad_request = error_details_pb2.BadRequest()
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            reason, metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(bad_request):
            violations += [
                Violation(one.field, one.description, one.reason) for one in bad_request.field_violations
            ]
        elif detail.Unpack(retry):
            retry_after_seconds = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
    return KMeansError(
        code, reason, status.message or message, tuple(violations), metadata, retry_after_seconds
    )


@contextmanager
def translated(target: str) -> Iterator[None]:
    """Turn gRPC's errors into ours."""
    try:
        yield
    except grpc.RpcError as error:
        raise decode(error, target) from error


def _rich_status(call: grpc.Call) -> status_pb2.Status | None:
    for key, value in call.trailing_metadata() or ():
        if key == _STATUS_KEY and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                return None
    return None
