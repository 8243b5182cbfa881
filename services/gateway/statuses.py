"""From an error to what goes over the wire: one table of codes, and `google.rpc.Status` details."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from services.core import errors
from services.core.errors import InvalidInput, LimitExceeded, ServiceError
from services.gateway.errors import CallEnded, CallIdle, DeadlinePassed

__all__ = ["CODES", "DOMAIN", "code_of", "status_of"]

DOMAIN = "kmeans-service"

CODES: Mapping[type[ServiceError], grpc.StatusCode] = {
    errors.ServiceError: grpc.StatusCode.INTERNAL,
    errors.InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    errors.InvalidTable: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.Conflict: grpc.StatusCode.ALREADY_EXISTS,
    errors.FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
    errors.LimitExceeded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.DataLoss: grpc.StatusCode.DATA_LOSS,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.HomeInUse: grpc.StatusCode.UNAVAILABLE,
    errors.StoreUnavailable: grpc.StatusCode.UNAVAILABLE,
    errors.QueueUnavailable: grpc.StatusCode.UNAVAILABLE,
    errors.ObjectsUnavailable: grpc.StatusCode.UNAVAILABLE,
    CallEnded: grpc.StatusCode.CANCELLED,
    DeadlinePassed: grpc.StatusCode.DEADLINE_EXCEEDED,
    CallIdle: grpc.StatusCode.DEADLINE_EXCEEDED,
}

RETRY_DELAY_SECONDS = 1

# A status travels in the trailers, which clients cap at 8 KiB by default: beyond that they see a
# transport error in place of ours. The message is percent-encoded there and the details base64, so both
# are cut with room to spare.
_MAX_MESSAGE_BYTES = 1500
_MAX_STATUS_BYTES = 4096


def code_of(error: ServiceError) -> grpc.StatusCode:
    """The gRPC code of an error: its own row, else that of its nearest ancestor."""
    return next(CODES[kind] for kind in type(error).__mro__ if kind in CODES)


def status_of(error: ServiceError) -> status_pb2.Status:
    """The rich status of an error: ErrorInfo always, the others where they apply.

    Fits into the trailers of a call: a long message is cut, and of very many violations the first stay.
    """
    status = status_pb2.Status(code=code_of(error).value[0], message=_fitting(error.message))
    _attach(status, error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata))
    retry_seconds = RETRY_DELAY_SECONDS if error.retryable else 0
    if isinstance(error, LimitExceeded):
        retry_seconds = error.retry_seconds
        if error.subject:
            quota = error_details_pb2.QuotaFailure()
            quota.violations.add(subject=error.subject, description=_fitting(error.message))
            _attach(status, quota)
    if retry_seconds:
        delay = duration_pb2.Duration(seconds=retry_seconds)
        _attach(status, error_details_pb2.RetryInfo(retry_delay=delay))
    if isinstance(error, InvalidInput) and error.violations:
        bad_request = error_details_pb2.BadRequest()
        room = _MAX_STATUS_BYTES - status.ByteSize()
        for violation in error.violations:
            bad_request.field_violations.add(
                field=violation.field,
                description=_fitting(violation.description),
                reason=violation.reason,
            )
            if bad_request.ByteSize() > room:
                del bad_request.field_violations[-1]
                break
        _attach(status, bad_request)
    return status


def _attach(
    status: status_pb2.Status,
    detail: error_details_pb2.ErrorInfo
    | error_details_pb2.RetryInfo
    | error_details_pb2.QuotaFailure
    | error_details_pb2.BadRequest,
) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    status.details.append(packed)


def _fitting(message: str) -> str:
    if len(quote(message)) <= _MAX_MESSAGE_BYTES:
        return message
    low, high = 0, len(message)
    while low < high:
        middle = (low + high + 1) // 2
        if len(quote(message[:middle])) <= _MAX_MESSAGE_BYTES:
            low = middle
        else:
            high = middle - 1
    return message[:low].rstrip() + " …"
