"""MongoDB's failures as the service's errors, each with a sentence and none with a password.

The driver's own text is shown only where the server wrote it: what the driver says of a URL may quote it.
"""

from __future__ import annotations

from bson.errors import BSONError
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    DocumentTooLarge,
    EncryptionError,
    InvalidOperation,
    InvalidURI,
    OperationFailure,
    PyMongoError,
    WaitQueueTimeoutError,
)

from services.core.errors import (
    DataLoss,
    LimitExceeded,
    ServiceError,
    StoreUnavailable,
)

__all__ = ["DRIVER_ERRORS", "URL_ERRORS", "closed_store", "translate"]

DRIVER_ERRORS = (PyMongoError, BSONError)
URL_ERRORS = (InvalidURI, ConfigurationError)

_AUTHENTICATION_CODES = {11, 18, 8000}
_PERMISSION_CODES = {13, 31}
_DISK_FULL_CODES = {14031, 28}
_TOO_LARGE_CODES = {10334, 17419, 17420}
_CONFLICT_CODES = {112, 251}
# Interrupted, cursor gone, stepping down, shutting down, over a time limit, too few members to confirm...
_PASSING_CODES = {
    *(6, 7, 24, 43, 50, 63, 64, 79, 89, 91, 100, 133, 134, 136, 146, 175, 189, 202, 234, 237, 261, 262),
    *(290, 317, 358, 365, 384, 402, 91331, 9001, 10058, 10107, 11600, 11601, 11602, 13388, 13435, 13436),
}


def closed_store() -> StoreUnavailable:
    """The error of a call on a store that was closed."""
    return StoreUnavailable("The job store is closed.", "STORE_CLOSED")


def translate(error: PyMongoError | BSONError, where: str) -> ServiceError:
    """The error that callers see instead of the driver's; `where` names server and database."""
    match error:
        case InvalidURI() | ConfigurationError():
            return StoreUnavailable(
                f"{where} cannot be used as KMEANS_STORE_URL says. Check that its host name is known to "
                "the DNS, how users sign in, and the version of the server."
            )
        case WaitQueueTimeoutError():
            return StoreUnavailable(f"{where} is busy with other calls. Try again in a moment.")
        case ConnectionFailure():
            return StoreUnavailable(f"{where} does not answer. Check that it runs and can be reached.")
        case InvalidOperation():
            return closed_store()
        case DocumentTooLarge():
            return _too_large(where)
        case BSONError():
            return DataLoss(
                f"A record of {where} cannot be read. Restore the job store from a backup.",
                "RECORD_DAMAGED",
            )
        case OperationFailure():
            return _refusal(error, where)
        case EncryptionError() | PyMongoError():
            return ServiceError(f"{where} could not be used ({type(error).__name__}).")


def _too_large(where: str) -> LimitExceeded:
    return LimitExceeded(f"{where} cannot hold a record of this size.", "RECORD_TOO_LARGE")


def _refusal(error: OperationFailure, where: str) -> ServiceError:
    code, said = _code_and_text(error)
    if code in _AUTHENTICATION_CODES:
        return StoreUnavailable(
            f"{where} refuses the user name or password of KMEANS_STORE_URL.", "STORE_UNAUTHENTICATED"
        )
    if code in _PERMISSION_CODES:
        return StoreUnavailable(
            f"{where} does not let this user read and write. Give the user the role readWrite on it.",
            "STORE_PERMISSION_DENIED",
        )
    if code in _DISK_FULL_CODES:
        return StoreUnavailable(
            f"The disk of {where} is full. Free some space and try again; nothing of this change was kept."
        )
    if code in _TOO_LARGE_CODES:
        return _too_large(where)
    if code in _CONFLICT_CODES or error.has_error_label("TransientTransactionError"):
        return StoreUnavailable(f"{where} is busy with other changes of the same job. Try again in a moment.")
    if code in _PASSING_CODES or error.timeout or _is_retryable(error):
        return StoreUnavailable(f"{where} could not answer ({said}). Try again in a moment.")
    # A statement that MongoDB refuses is a mistake of ours; trying again would not help.
    return ServiceError(f"{where} refused a change ({said}).")


def _is_retryable(error: OperationFailure) -> bool:
    return any(
        error.has_error_label(label)
        for label in ("RetryableWriteError", "RetryableError", "UnknownTransactionCommitResult")
    )


def _code_and_text(error: OperationFailure) -> tuple[int | None, str]:
    details = error.details or {}
    if isinstance(error, BulkWriteError):
        refused = [*details.get("writeErrors", ()), *details.get("writeConcernErrors", ())]
        if refused:
            details = refused[0]
    code = details.get("code", error.code)
    name = details.get("codeName") or details.get("errmsg") or "no reason given"
    return code, f"code {code}, {str(name)[:200]}"
