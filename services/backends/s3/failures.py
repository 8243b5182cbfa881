"""What S3 and its client can answer, in the service's own errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    FlexibleChecksumError,
    NoCredentialsError,
    PartialCredentialsError,
)

from services.core.errors import DataLoss, NotFound, ObjectsUnavailable

__all__ = ["MISSING", "damaged", "error_code", "not_found", "too_late", "translated", "unavailable"]

# HEAD has no body to say what is missing: there the status is all there is.
MISSING = frozenset({"NoSuchKey", "404", "NotFound"})
_REFUSED = frozenset(
    {
        "403",
        "AccessDenied",
        "AuthorizationHeaderMalformed",
        "ExpiredToken",
        "Forbidden",
        "InvalidAccessKeyId",
        "InvalidToken",
        "SignatureDoesNotMatch",
    }
)
_CREDENTIALS = "Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and what they may do in this bucket."


@contextmanager
def translated(bucket: str, key: str = "") -> Iterator[None]:
    """Turn the client's exceptions into ObjectsUnavailable, NotFound (of `key`) or DataLoss."""
    try:
        yield
    except ClientError as error:
        code = error_code(error)
        if key and code in MISSING:
            raise not_found(key) from error
        raise unavailable(bucket, _sentence(code)) from error
    except FlexibleChecksumError as error:
        raise damaged(key) from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise unavailable(bucket, f"has no credentials to ask with. {_CREDENTIALS}") from error
    except BotoCoreError as error:
        # The class says which: EndpointConnectionError, ReadTimeoutError … Its text may hold the request.
        raise unavailable(bucket, f"does not answer ({type(error).__name__}).") from error


def error_code(error: ClientError) -> str:
    """The code S3 gave, or the HTTP status where there was no body."""
    return str(error.response.get("Error", {}).get("Code", ""))


def not_found(key: str) -> NotFound:
    """The error of a key without an object."""
    return NotFound(f"There is no object {key}.", "OBJECT_NOT_FOUND", {"object": key})


def too_late() -> ObjectsUnavailable:
    """The error of a call whose deadline has passed."""
    return ObjectsUnavailable(
        "The object store was not asked: the deadline of the call has passed. Call again with a later one."
    )


def damaged(key: str) -> DataLoss:
    """The error of bytes that are not what was stored."""
    return DataLoss(
        f"The object {key} is damaged: its bytes are not those that were stored. Upload the file again.",
        "OBJECT_DAMAGED",
        {"object": key},
    )


def unavailable(bucket: str, what: str) -> ObjectsUnavailable:
    """The error of a bucket that cannot be used; `what` goes on the sentence."""
    return ObjectsUnavailable(f"The object store s3://{bucket} {what}")


def _sentence(code: str) -> str:
    if code in _REFUSED:
        return f"refused the request ({code}). {_CREDENTIALS}"
    match code:
        case "NoSuchBucket":
            return "does not exist. Create the bucket or correct KMEANS_OBJECTS_URL."
        case "RequestTimeTooSkewed":
            return "refused the request: the clocks differ too much. Set this machine's clock."
        case "SlowDown" | "ServiceUnavailable" | "503" | "Throttling" | "RequestLimitExceeded":
            return f"is overloaded ({code}). Try again later."
        case _:
            return f"failed ({code or 'no code'})."
